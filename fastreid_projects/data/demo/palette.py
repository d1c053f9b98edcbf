"""Colours of people and things, RGB 0..255."""

from __future__ import annotations

Colour = tuple[int, int, int]

# The colours named in Market-1501_Attribute; the shade varies around these from person to person.
CLOTHING: dict[str, Colour] = {
    "black": (34, 34, 38),
    "white": (236, 234, 228),
    "red": (196, 36, 40),
    "purple": (122, 58, 150),
    "yellow": (232, 196, 48),
    "gray": (132, 132, 134),
    "blue": (44, 78, 172),
    "green": (46, 128, 66),
    "brown": (112, 74, 44),
    "pink": (232, 138, 168),
}
# Colours of clothing without such a name: all its colour attributes are 0, as for 10 % of Market-1501.
OTHER: tuple[Colour, ...] = ((226, 120, 38), (36, 146, 150), (206, 186, 150))
SKIN: tuple[Colour, ...] = ((244, 208, 180), (226, 178, 142), (188, 134, 98), (122, 80, 56))
HAIR: tuple[Colour, ...] = ((28, 24, 24), (74, 48, 32), (146, 92, 46), (206, 172, 104), (150, 150, 150))
SHOES: tuple[Colour, ...] = (
    (30, 30, 32),
    (240, 240, 238),
    (186, 40, 42),
    (48, 84, 170),
    (124, 82, 50),
    (140, 140, 140),
    (80, 200, 90),
)
THINGS: tuple[Colour, ...] = (
    (40, 40, 46),
    (150, 42, 44),
    (46, 70, 130),
    (128, 92, 56),
    (70, 110, 74),
    (200, 170, 120),
)
TRIMS: tuple[Colour, ...] = ((244, 244, 240), (24, 24, 28), (214, 60, 50), (250, 206, 60), (70, 130, 220))


def shade(colour: Colour, amount: float) -> Colour:
    """Lighten (``amount`` > 0) or darken (< 0) a colour; -1 gives black, 1 white."""
    target = 255 if amount > 0 else 0
    red, green, blue = (round(c + (target - c) * abs(amount)) for c in colour)
    return red, green, blue


def distance(first: Colour, second: Colour) -> float:
    """Return the Euclidean distance of two colours, 0..442."""
    return sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) ** 0.5


def contrasting(base: Colour, wish: int) -> Colour:
    """Return the trim number ``wish``, or the next one that stands out against ``base``."""
    for step in range(len(TRIMS)):
        trim = TRIMS[(wish + step) % len(TRIMS)]
        if distance(trim, base) > 120:
            return trim
    return TRIMS[wish % len(TRIMS)]
