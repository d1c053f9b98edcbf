"""Means of a query's scores over all orders of equally distant gallery images.

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
    """The scores of a tied query, averaged over all orders.

    Attributes:
        ap: the average precision.
        inp: the inverse negative penalty.
        start: the number of images before the group that holds the first match.
        first: (S,) the probability that the first match is the 1st, 2nd, ... image of this group.
    """

    ap: float
    inp: float
    start: int
    first: Floats

    def within(self, k: int) -> float:
        """Return the probability of a match among the first k images."""
        return float(self.first[: max(k - self.start, 0)].sum())


def expected_scores(
    matches: npt.NDArray[Any], others: npt.NDArray[Any], *, trapezoids: bool = False
) -> Expected:
    """Return the means over all orders of equally distant images, with equal weights.

    Args:
        matches: (M,) ascending distances, M at least 1.
        others: (E,) ascending distances.
        trapezoids: as in :func:`.precision.precisions`.

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
    last = _first_match(int(sizes[-1]), int(sizes[-1] + until[-1] - ahead[-1]))[
        ::-1
    ]  # the same, counted from the end
    places = int(ahead[-1]) + found - int(sizes[-1]) + np.arange(1, len(last) + 1)
    return Expected(precision / found, float((last * found / places).sum()), int(ahead[0]), first)


def _precisions(m: int, s: int, before: int, found: int, trapezoids: bool) -> float:
    """Return the expected sum of the precisions at m matches among s images in any order.

    Args:
        m: the number of matches.
        s: the number of images.
        before: the number of images before them.
        found: the number of matches before them.
        trapezoids: as in `expected_scores`.
    """
    place = np.arange(s)
    earlier = place * (m - 1) / max(s - 1, 1)  # matches among the images before, if there is one here
    return m / s * float(precisions(found + 1 + earlier, before + place, trapezoids=trapezoids).sum())


def _first_match(m: int, s: int) -> Floats:
    """Return (S,) the probability that the first of m matches among s images in any order is the 1st, 2nd, ... one."""
    place = np.arange(s)
    missed = np.concatenate([[1.0], np.cumprod((s - m - place) / (s - place))[:-1]])
    return missed * m / (s - place)
