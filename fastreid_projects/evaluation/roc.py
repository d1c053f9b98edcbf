"""TPR at small FPR of the verification task, exact, without keeping the distances of all pairs.

| letter | meaning                                                    |
| ------ | ---------------------------------------------------------- |
| Q, G   | number of query, gallery images                            |
| C      | number of queries in one chunk                             |
| P      | number of same-identity pairs                              |
| T      | number of thresholds, distinct same-identity distances     |

The host (``evaluation/roc.py``, ``evaluation/reid_evaluation.py:116``) takes pairs of *different* identities
as the positive class, scored by distance: FPR is the share of same-identity pairs, TPR the share of
different-identity pairs at or above the threshold. The FPR changes only at a distance of a same-identity
pair; those are few, so that it is enough to keep them and to count the others against them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from fastreid_projects.errors import DataError

Chunks = Iterable[tuple[slice, npt.NDArray[np.floating]]]
Integers = npt.NDArray[np.int64]


def tpr_at_fpr(
    chunks: Callable[[], Chunks],
    query_pids: npt.NDArray,
    gallery_pids: npt.NDArray,
    query_camids: npt.NDArray,
    gallery_camids: npt.NDArray,
    fprs: Sequence[float] = (1e-4, 1e-3, 1e-2),
) -> dict[float, float]:
    """Return the TPR at the point of the ROC curve whose FPR is nearest to each of ``fprs``.

    The points are those of ``sklearn.metrics.roc_curve``, among them (0, 0). Same-identity pairs of one
    camera are left out.

    Args:
        chunks: gives, each time it is called, an iterator over (queries' slice, distances (C, G)).
        query_pids: (Q,) identities.
        gallery_pids: (G,) identities.
        query_camids: (Q,) cameras.
        gallery_camids: (G,) cameras.
        fprs: false positive rates, 0..1.

    Raises:
        DataError: there are no pairs of the same identity, or none of different identities.
    """
    labels = (query_pids, gallery_pids, query_camids, gallery_camids)
    same = np.concatenate([dist[_same(part, *labels)[0]] for part, dist in chunks()])
    if not len(same):
        raise DataError("TEST.ROC needs pairs of the same identity under two cameras, but there are none.")
    thresholds, counts = _largest(same, 2 * max(fprs))
    at_least, above, total = _count_others(chunks, thresholds, labels)
    if not total:
        raise DataError("TEST.ROC needs pairs of different identities, but all images show the same one.")
    keep = _corners(counts, at_least, above)
    fpr = np.concatenate(([0.0], np.cumsum(counts)[keep] / len(same)))
    tpr = np.concatenate(([0.0], at_least[keep] / total))
    return {target: float(tpr[np.argmin(np.abs(fpr - target))]) for target in fprs}


def _same(
    part: slice,
    query_pids: npt.NDArray,
    gallery_pids: npt.NDArray,
    query_camids: npt.NDArray,
    gallery_camids: npt.NDArray,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return two masks (C, G): pairs of one identity under two cameras, pairs of different identities."""
    same_id = query_pids[part, None] == gallery_pids
    return same_id & (query_camids[part, None] != gallery_camids), ~same_id


def _largest(same: npt.NDArray[np.floating], share: float) -> tuple[npt.NDArray[np.floating], Integers]:
    """Return the largest distinct values (T,), descending, and how often each occurs.

    They reach one value beyond ``share`` (0..1) of all. With ``share`` twice a target FPR nothing more is
    needed: any point beyond lies farther from the target than the curve's start (0, 0).
    """
    values, counts = np.unique(same, return_counts=True)
    values, counts = values[::-1], counts[::-1]
    wanted = int(np.searchsorted(np.cumsum(counts), share * len(same), side="right")) + 1
    return values[:wanted], counts[:wanted]


def _count_others(
    chunks: Callable[[], Chunks], thresholds: npt.NDArray[np.floating], labels: tuple[npt.NDArray, ...]
) -> tuple[Integers, Integers, int]:
    """Count the different-identity pairs: at or above each threshold (T,), above it (T,), and in total."""
    ascending = thresholds[::-1]
    equal_or_below = np.zeros(len(thresholds) + 1, dtype=np.int64)
    below = np.zeros(len(thresholds) + 1, dtype=np.int64)
    for part, distances in chunks():
        others = distances[_same(part, *labels)[1]]
        # place i: i thresholds are at or below the distance (right), or strictly below it (left)
        equal_or_below += np.bincount(
            np.searchsorted(ascending, others, side="right"), minlength=len(thresholds) + 1
        )
        below += np.bincount(np.searchsorted(ascending, others, side="left"), minlength=len(thresholds) + 1)
    at_least = np.cumsum(equal_or_below[::-1])[:-1]
    above = np.cumsum(below[::-1])[:-1]
    return at_least, above, int(below.sum())


def _corners(counts: Integers, at_least: Integers, above: Integers) -> npt.NDArray[np.bool_]:
    """Say which thresholds (T,) ``roc_curve`` keeps: it drops a point whose steps before and after are equal.

    The step to a threshold is (its same-identity pairs, its different-identity pairs). The step after it
    leads to the next threshold only where no different-identity distance lies between the two.
    """
    tied = at_least - above
    keep = np.ones(len(counts), dtype=bool)
    dropped = (counts[1:] == counts[:-1]) & (tied[1:] == tied[:-1]) & (above[1:] == at_least[:-1])
    keep[:-1] = ~dropped
    if above[0] == 0:  # the very first point of the curve is always kept
        keep[0] = True
    return keep
