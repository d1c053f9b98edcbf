"""The population: attribute frequencies, and groups of people who share every attribute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastreid_projects.data.attributes import DEMO
from fastreid_projects.data.demo.person import LOWER, UPPER, Details, Person, sample_details


@dataclass(frozen=True)
class Frequencies:
    """Shares of identities, 0..1.

    Attributes:
        female: gender 1.
        long_hair: among men, among women.
        short_sleeves: ``up`` 1.
        dress: dress or skirt among women (``clothes`` 0).
        short_lower: ``down`` 1 among trousers, among dresses.
        things: hat, backpack, bag, handbag.
        upper: for each colour in the order of DEMO; the rest has no named colour.
        lower: likewise.
    """

    female: float
    long_hair: tuple[float, float]
    short_sleeves: float
    dress: float
    short_lower: tuple[float, float]
    things: tuple[float, float, float, float]
    upper: tuple[float, ...]
    lower: tuple[float, ...]


FREQUENCIES: dict[str, Frequencies] = {
    # Counted over the 1,501 identities of Market-1501_Attribute (Lin et al., "Improving person
    # re-identification by attribute and identity learning", Pattern Recognition 2019),
    # with the rarest raised to 2 or 3 %, so that a set this small has some of each.
    "A": Frequencies(
        female=0.44,
        long_hair=(0.01, 0.78),
        short_sleeves=0.94,
        dress=0.30,
        short_lower=(0.59, 0.87),
        things=(0.03, 0.26, 0.25, 0.11),
        upper=(0.15, 0.29, 0.10, 0.04, 0.06, 0.13, 0.07, 0.07),
        lower=(0.36, 0.07, 0.03, 0.02, 0.02, 0.17, 0.18, 0.03, 0.08),
    ),
    # The second domain is a winter: long sleeves, dark clothes, hats.
    "B": Frequencies(
        female=0.52,
        long_hair=(0.06, 0.62),
        short_sleeves=0.22,
        dress=0.12,
        short_lower=(0.16, 0.40),
        things=(0.24, 0.38, 0.14, 0.20),
        upper=(0.33, 0.06, 0.12, 0.05, 0.03, 0.14, 0.14, 0.05),
        lower=(0.44, 0.03, 0.02, 0.02, 0.02, 0.12, 0.20, 0.03, 0.10),
    ),
}
GROUP_SIZES = (1, 2, 3, 4, 6)
_GROUP_SHARES = (0.46, 0.24, 0.16, 0.09, 0.05)


def sample_people(count: int, domain: str, rng: np.random.Generator) -> list[Person]:
    """Draw ``count`` people; about three in four share all attributes with somebody else among them."""
    sizes: list[int] = []
    while sum(sizes) < count:
        sizes.append(int(rng.choice(GROUP_SIZES, p=_GROUP_SHARES)))
    sizes[-1] -= sum(sizes) - count
    vectors = sample_attributes(len(sizes), FREQUENCIES[domain], rng)
    people: list[Person] = []
    for size, vector in zip(sizes, vectors, strict=True):
        group: list[Details] = []
        for _ in range(size):
            group.append(_unlike(group, rng))
        people += [Person(tuple(int(v) for v in vector), details) for details in group]
    return people


def sample_attributes(count: int, frequencies: Frequencies, rng: np.random.Generator) -> np.ndarray:
    """Return attribute vectors, int8 (count, 26), with nearly the wanted frequencies even for a small count."""
    f = frequencies
    spread = {
        name: (rng.permutation(count) + rng.random(count)) / count
        for name in ("gender", "hair", "up", "down", "clothes", "upper", "lower", *_THINGS)
    }
    table = {name: np.zeros(count, bool) for name in DEMO.names}
    female = table["gender"] = spread["gender"] < f.female
    dress = female & (spread["clothes"] < f.dress)
    table["hair"] = spread["hair"] < np.where(female, f.long_hair[1], f.long_hair[0])
    table["up"] = spread["up"] < f.short_sleeves
    table["clothes"] = ~dress
    table["down"] = spread["down"] < np.where(dress, f.short_lower[1], f.short_lower[0])
    for name, share in zip(_THINGS, f.things, strict=True):
        table[name] = spread[name] < share
    for group, shares, u in ((UPPER, f.upper, spread["upper"]), (LOWER, f.lower, spread["lower"])):
        chosen = np.searchsorted(np.cumsum(shares), u, side="right")
        for position, name in enumerate(group):
            table[name] = chosen == position
    return np.stack([table[name] for name in DEMO.names], axis=1).astype(np.int8)


_THINGS = ("hat", "backpack", "bag", "handbag")


def _unlike(group: list[Details], rng: np.random.Generator) -> Details:
    """Return details with at least two visible differences from everybody in the group."""
    details = sample_details(rng)
    while any(details.differences(other) < 2 for other in group):
        details = sample_details(rng)
    return details
