"""The rate of true accepts at a small rate of false accepts in verification: do two images show the same person?

| letter | meaning                                     |
| ------ | ------------------------------------------- |
| Q, G   | number of query, gallery images             |
| C      | number of queries in one chunk              |
| P      | number of pairs of one person               |
| M      | number of pairs of different persons        |

A pair is accepted if its distance is below a threshold. TPR (TAR) is the share of accepted pairs among those of one
person, FPR (FAR) the share among those of different persons. The host (``evaluation/roc.py:45``) uses pairs of
different persons as the positive class, so that its numbers with the same names mean something else.

All P distances are kept, but only those of the M that are small enough to matter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastreid_projects.errors import DataError

logger = logging.getLogger(__name__)

Chunks = Iterable[tuple[slice, npt.NDArray[np.floating]]]
Distances = npt.NDArray[np.floating]


def tpr_at_fpr(
    chunks: Callable[[], Chunks],
    query_pids: npt.NDArray[Any],
    gallery_pids: npt.NDArray[Any],
    query_camids: npt.NDArray[Any],
    gallery_camids: npt.NDArray[Any],
    fprs: Sequence[float] = (1e-4, 1e-3, 1e-2),
) -> dict[float, float]:
    """Return for each of ``fprs`` the greatest TPR whose FPR is at most that.

    Pairs of one person under the same camera are left out.

    Args:
        chunks: returns a new iterator over (slice of the queries, distances (C, G)) each time it is called.
        query_pids: (Q,) identities.
        gallery_pids: (G,) identities.
        query_camids: (Q,) cameras.
        gallery_camids: (G,) cameras.
        fprs: false positive rates, 0..1.

    Returns:
        The TPR in 0..1 for each FPR.

    Raises:
        DataError: there are no pairs of one person, or no pairs of different persons.
    """
    labels = (query_pids, gallery_pids, query_camids, gallery_camids)
    total = int((query_pids[:, None] != gallery_pids).sum())
    same, different = _decisive(chunks(), labels, int(max(fprs) * total) + 1)
    if not len(same):
        raise DataError("TEST.ROC needs pairs of the same identity under two cameras, but there are none.")
    if not total:
        raise DataError("TEST.ROC needs pairs of different identities, but all images show the same one.")
    if min(fprs) * total < 1:
        logger.warning(
            "TEST.ROC: %d pairs of different persons cannot distinguish an FPR of %g from 0", total, min(fprs)
        )
    return {fpr: float((same < different[int(fpr * total)]).mean()) for fpr in fprs}


def _decisive(
    chunks: Chunks, labels: tuple[npt.NDArray[Any], ...], count: int
) -> tuple[Distances, Distances]:
    """Return the distances (P,) of the pairs of one person, and the ``count`` smallest of different persons, sorted.

    One infinite distance is added at their end, so that an FPR of 1 accepts all.
    """
    query_pids, gallery_pids, query_camids, gallery_camids = labels
    same: list[Distances] = []
    smallest = np.empty(0, dtype=np.float32)
    for part, distances in chunks:
        same_id = query_pids[part, None] == gallery_pids
        same.append(distances[same_id & (query_camids[part, None] != gallery_camids)])
        smallest = np.concatenate((smallest, distances[~same_id]))
        if len(smallest) > count:
            smallest = np.partition(smallest, count - 1)[:count]
    return np.concatenate(same), np.append(np.sort(smallest), np.inf)
