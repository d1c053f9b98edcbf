"""The persons to draw: the 26 attributes of an identity, and the details that distinguish persons who share them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from fastreid_projects.data.attributes import DEMO
from fastreid_projects.data.demo.palette import CLOTHING, OTHER, Colour, shade

UPPER = tuple(name for name in DEMO.names if name.startswith("up") and name != "up")
LOWER = tuple(name for name in DEMO.names if name.startswith("down") and name != "down")


@dataclass(frozen=True)
class Details:
    """Details that the attributes do not describe. Integers choose from a short list, floats are continuous.

    Attributes:
        skin, hair_tone, hair_style: head (tones of ``palette.SKIN`` and ``HAIR``; 3 styles).
        upper_pattern: 0 plain, 1 stripes across, 2 stripes along, 3 print, 4 other sleeves, 5 two-tone, 6
            open jacket.
        lower_pattern: 0 plain, 1 side stripe, 2 hem band.
        upper_trim, lower_trim: colour of the pattern.
        upper_shade, lower_shade: lightness around the colour's word, -1..1.
        upper_other, lower_other: the colour of clothing whose colour has no name.
        hem: length of the upper clothing, 0 short to 1 coat.
        cut: width of the lower clothing, 0 tight to 1 wide.
        shoes, shoe_type: colour; 0 low, 1 light sole, 2 boots.
        hat_shape, hat_tone: 0 cap, 1 knitted, 2 broad brim.
        pack_shape, pack_tone, bag_shape, bag_tone, handbag_shape, handbag_tone: things carried.
        bag_side: -1 or 1, the side on which bags are carried.
        build: width, 0 slim to 1 stout.
        height: 0 small to 1 tall.
    """

    skin: int
    hair_tone: int
    hair_style: int
    upper_pattern: int
    lower_pattern: int
    upper_trim: int
    lower_trim: int
    upper_shade: float
    lower_shade: float
    upper_other: int
    lower_other: int
    hem: float
    cut: float
    shoes: int
    shoe_type: int
    hat_shape: int
    hat_tone: int
    pack_shape: int
    pack_tone: int
    bag_shape: int
    bag_tone: int
    handbag_shape: int
    handbag_tone: int
    bag_side: int
    build: float
    height: float

    def differences(self, other: Details) -> int:
        """Return how many of the details visible on everybody differ: skin, hair, pattern, shoes, build."""
        names = ("skin", "hair_tone", "upper_pattern", "lower_pattern", "shoes")
        count = sum(getattr(self, name) != getattr(other, name) for name in names)
        return count + int(abs(self.build - other.build) > 0.4)


_CHOICES = {
    "skin": (0.36, 0.36, 0.16, 0.12),
    "hair_tone": (0.42, 0.24, 0.14, 0.12, 0.08),
    "hair_style": (0.4, 0.3, 0.3),
    "upper_pattern": (0.34, 0.14, 0.08, 0.16, 0.1, 0.1, 0.08),
    "lower_pattern": (0.64, 0.2, 0.16),
    "shoes": (0.26, 0.22, 0.1, 0.12, 0.14, 0.1, 0.06),
    "shoe_type": (0.4, 0.4, 0.2),
    "hat_shape": (0.5, 0.3, 0.2),
}
_SIZES = {"upper_trim": 5, "lower_trim": 5, "upper_other": 3, "lower_other": 3, "hat_tone": 6}
_SIZES |= {f"{thing}_shape": 3 for thing in ("pack", "bag", "handbag")}
_SIZES |= {f"{thing}_tone": 6 for thing in ("pack", "bag", "handbag")}


def sample_details(rng: np.random.Generator) -> Details:
    """Draw random details, independent of any attribute."""
    values: dict[str, float | int] = {}
    for field in fields(Details):
        u = float(rng.random())
        if field.name in _CHOICES:
            values[field.name] = int(np.searchsorted(np.cumsum(_CHOICES[field.name])[:-1], u, side="right"))
        elif field.name in _SIZES:
            values[field.name] = int(u * _SIZES[field.name])
        elif field.name == "bag_side":
            values[field.name] = 1 if u < 0.5 else -1
        else:
            values[field.name] = 2 * u - 1 if field.name.endswith("_shade") else u
    return Details(**values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Person:
    """An identity.

    Attributes:
        attributes: the 26 values, 0 (raw 1) or 1 (raw 2), in the order of ``DEMO``.
        details: everything else.
    """

    attributes: tuple[int, ...]
    details: Details

    def has(self, name: str) -> bool:
        """Return whether the attribute called ``name`` is 1."""
        return bool(self.attributes[DEMO.index(name)])

    def with_attribute(self, name: str, value: int) -> Person:
        """Return the same person with one attribute changed.

        A colour set to 1 replaces the garment's former colour; if the last colour is set to 0, the garment has a colour
        that no attribute names.
        """
        values = list(self.attributes)
        for group in (UPPER, LOWER):
            if name in group and value:
                for other in group:
                    values[DEMO.index(other)] = 0
        values[DEMO.index(name)] = int(value)
        return replace(self, attributes=tuple(values))

    @property
    def upper_colour(self) -> Colour:
        """Main colour of the upper clothing."""
        return self._colour(UPPER, "up", self.details.upper_other, self.details.upper_shade)

    @property
    def lower_colour(self) -> Colour:
        """Main colour of the lower clothing."""
        return self._colour(LOWER, "down", self.details.lower_other, self.details.lower_shade)

    def _colour(self, group: tuple[str, ...], prefix: str, other: int, amount: float) -> Colour:
        words = [name.removeprefix(prefix) for name in group if self.has(name)]
        base = CLOTHING[words[0]] if words else OTHER[other]
        reach = 0.1 if words and words[0] in ("black", "white", "gray") else 0.2
        return shade(base, amount * reach)
