"""Fidelity of features (Yan et al. 2022, table I): the number of images on the wrong side of an anchor's hardest pair.

| letter | meaning                            |
| ------ | ---------------------------------- |
| N      | images of the split                |
| D      | size of a feature                  |
| C      | anchors in one chunk               |
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from fastreid_projects.errors import DataError
from fastreid_projects.evaluation.distance import iter_distances


class FidelityErrors(NamedTuple):
    """The errors of table I.

    Attributes:
        error_1: Error-I, negatives nearer than the anchor's farthest positive, averaged over the anchors.
        error_2: Error-II, positives farther than the anchor's nearest negative, averaged over the anchors.
        anchors: the number of anchors.
    """

    error_1: float
    error_2: float
    anchors: int


def fidelity_errors(
    features: torch.Tensor,
    labels: torch.Tensor,
    metric: str = "euclidean",
    *,
    anchors: torch.Tensor | None = None,
    chunk: int = 256,
    device: torch.device | str | None = None,
) -> FidelityErrors:
    """Count the errors over a whole split; memory grows with C x N, not with N x N.

    Args:
        features: (N, D) of any floating-point type.
        labels: (N,) identities.
        metric: ``"euclidean"`` or ``"cosine"``.
        anchors: (N,) bool, the anchors; by default all images. The others still count as positives and negatives.
        chunk: the largest C.
        device: the device that computes distances; by default that of the features.

    Returns:
        Means over the anchors that have a positive and a negative.

    Raises:
        DataError: labels or anchors differ in number, or no anchor has both a positive and a negative.
    """
    if labels.shape != (len(features),) or (anchors is not None and anchors.shape != labels.shape):
        raise DataError(
            f"{len(features)} features need as many labels and anchors, not {tuple(labels.shape)}"
        )
    chosen = torch.arange(len(features)) if anchors is None else torch.nonzero(anchors.cpu()).flatten()
    ids = labels.cpu().numpy()
    rows = chosen.numpy()
    totals = np.zeros(3)
    for part, distances in iter_distances(features[chosen], features, metric, chunk, device):
        same = ids[rows[part], None] == ids
        negative = ~same
        same[np.arange(len(same)), rows[part]] = False
        farthest = np.where(same, distances, -np.inf).max(axis=1)
        nearest = np.where(negative, distances, np.inf).min(axis=1)
        valid = same.any(axis=1) & negative.any(axis=1)
        first = (negative & (distances < farthest[:, None])).sum(axis=1)
        second = (same & (distances > nearest[:, None])).sum(axis=1)
        totals += (first[valid].sum(), second[valid].sum(), valid.sum())
    if not totals[2]:
        raise DataError(
            "no image has both another image of its identity and one of another identity: nothing can be counted"
        )
    return FidelityErrors(totals[0] / totals[2], totals[1] / totals[2], int(totals[2]))
