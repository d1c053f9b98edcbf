"""Patch of utils/compute_dist.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fastreid_projects.evaluation.distance import iter_distances
from fastreid_projects.evaluation.reranking import FASTREID, iter_jaccard_distances


def build_dist(
    feat_1: torch.Tensor, feat_2: torch.Tensor, metric: str = "euclidean", **kwargs: Any
) -> npt.NDArray[np.float32]:
    """Compute the whole distance matrix (Q, G); replaces the host's ``utils/compute_dist.py:build_dist``.

    ``"jaccard"`` accepts ``k1`` and ``k2``, needs no CUDA, and follows the host's formula.
    """
    if metric == "jaccard":
        chunks = iter_jaccard_distances(feat_1, feat_2, formula=FASTREID, **kwargs)
    else:
        chunks = iter_distances(feat_1, feat_2, metric)
    return np.concatenate([rows for _, rows in chunks])
