"""Means of a query's scores over all orders in which equally distant gallery images may come.

| letter | meaning                                                        |
| ------ | -------------------------------------------------------------- |
| M      | counted matches of the query                                   |
| E      | images that count, of other identities                         |
| S      | images of one distance: m of them matches                      |
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastreid_projects.evaluation.precision import precisions

Floats = npt.NDArray[np.float64]


class Expected(NamedTuple):
    """What a tied query scores on average.

    Attributes:
        ap: average precision.
        inp: inverse negative penalty.
        start: images before those among which the first match is.
        first: (S,) the chance that the first match is the 1st, 2nd, ... of these.
    """

    ap: float
    inp: float
    start: int
    first: Floats

    def within(self, k: int) -> float:
        """Return the chance of a match among the first k images."""
        return float(self.first[: max(k - self.start, 0)].sum())


def expected_scores(
    matches: npt.NDArray[Any], others: npt.NDArray[Any], *, trapezoids: bool = False
) -> Expected:
    """Return the means over all orders of equal distances, each as likely.

    Args:
        matches: (M,) ascending distances, M at least 1.
        others: (E,) ascending distances.
        trapezoids: as of :func:`.precision.precisions`.

    Example:
        >>> expected_scores(np.array([1.0]), np.array([1.0, 2.0])).ap
        0.75
    """
    values, sizes = np.unique(matches, return_counts=True)
    ahead, until = (np.searchsorted(others, values, side) for side in ("left", "right"))
    precision, found = 0.0, 0
    for before, after, m in zip(ahead, until, sizes, strict=True):
        precision += _precisions(int(m), int(m + after - before), int(before) + found, found, trapezoids)
        found += int(m)
    first = _first_match(int(sizes[0]), int(sizes[0] + until[0] - ahead[0]))
    last = _first_match(int(sizes[-1]), int(sizes[-1] + until[-1] - ahead[-1]))[::-1]  # the same from behind
    places = int(ahead[-1]) + found - int(sizes[-1]) + np.arange(1, len(last) + 1)
    return Expected(precision / found, float((last * found / places).sum()), int(ahead[0]), first)


def _precisions(m: int, s: int, before: int, found: int, trapezoids: bool) -> float:
    """Expected sum of the precisions at m matches among s images in any order.

    Args:
        m: matches.
        s: images.
        before: images before them.
        found: matches before them.
        trapezoids: as of `expected_scores`.
    """
    place = np.arange(s)
    earlier = place * (m - 1) / max(s - 1, 1)  # matches among the images before, if one is here
    return m / s * float(precisions(found + 1 + earlier, before + place, trapezoids=trapezoids).sum())


def _first_match(m: int, s: int) -> Floats:
    """Chances (S,) that the first of m matches among s images in any order is the 1st, 2nd, ... image."""
    place = np.arange(s)
    missed = np.concatenate([[1.0], np.cumprod((s - m - place) / (s - place))[:-1]])
    return missed * m / (s - place)
