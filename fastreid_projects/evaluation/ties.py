"""Matches that are exactly as far as other images, so that ranks depend on the order of the gallery.

| letter | meaning                        |
| ------ | ------------------------------ |
| C      | queries of one chunk           |
| G      | gallery images                 |
| M      | counted matches of one query   |
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastreid_projects.evaluation.expected import Expected, expected_scores
from fastreid_projects.evaluation.precision import precisions

ORDER, EXPECTED = TIES = ("order", "expected")  # the values of TEST.TIES


class Ties(NamedTuple):
    """The possible effect of equal distances on a ranking.

    Attributes:
        queries: the number of queries with a match that is exactly as far as another image.
        mAP: the least and greatest mAP over all orders of the gallery, 0..1.
        rank_1: the same for Rank-1.
    """

    queries: int
    mAP: tuple[float, float]
    rank_1: tuple[float, float]


class TiedQuery(NamedTuple):
    """One query with a match that is as far as another image.

    Attributes:
        row: its number in the chunk.
        ap: the least and the greatest average precision.
        hit: whether a match comes first, by the least and by the most favourable order.
        expected: the means over all orders.
    """

    row: int
    ap: tuple[float, float]
    hit: tuple[bool, bool]
    expected: Expected


def tied_queries(
    distances: npt.NDArray[Any],
    order: npt.NDArray[np.int64],
    same_id: npt.NDArray[np.bool_],
    counted: npt.NDArray[np.bool_],
    *,
    trapezoids: bool = False,
) -> list[TiedQuery]:
    """Find the queries whose ranks depend on the order of the gallery.

    Args:
        distances: (C, G).
        order: (C, G) the gallery's indices by distance.
        same_id: (C, G) in that order, whether the identity is the query's.
        counted: for each true entry of ``same_id``, row by row, whether it counts as a match.
        trapezoids: the form of average precision, as in :func:`.precision.precisions`.
    """
    rows, positions = np.nonzero(same_id)
    near = np.zeros(len(distances), dtype=bool)
    here = distances[rows, order[rows, positions]]
    for step in (-1, 1):
        beside = np.clip(positions + step, 0, order.shape[1] - 1)
        equal = distances[rows, order[rows, beside]] == here
        near[rows[equal & ~same_id[rows, beside]]] = True
    found = []
    for row in np.flatnonzero(near):  # only a few rows
        own = same_id[row]
        matches = distances[row, order[row, positions[(rows == row) & counted]]]
        others = distances[row, order[row, ~own]]
        extremes = _extremes(matches, others, trapezoids)
        if extremes is not None:
            means = expected_scores(matches, others, trapezoids=trapezoids)
            found.append(TiedQuery(int(row), *extremes, means))
    return found


def _extremes(
    matches: npt.NDArray[Any], others: npt.NDArray[Any], trapezoids: bool
) -> tuple[tuple[float, float], tuple[bool, bool]] | None:
    """Return the average precision and first hit of sorted distances (M,), as in `TiedQuery`; None without a tie."""
    before, until = (np.searchsorted(others, matches, side) for side in ("left", "right"))
    if np.array_equal(before, until):
        return None
    number = np.arange(1, len(matches) + 1)
    least, greatest = (
        float(precisions(number, number - 1 + ahead, trapezoids=trapezoids).mean())
        for ahead in (until, before)
    )
    return (least, greatest), (bool(until[0] == 0), bool(before[0] == 0))
