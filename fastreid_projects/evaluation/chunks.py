"""Distances of queries to the gallery as the config asks for them, in chunks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from fastreid_projects.evaluation.distance import iter_distances
from fastreid_projects.evaluation.query_expansion import expand_queries
from fastreid_projects.evaluation.reranking import (
    encode_neighbours,
    iter_encoded_distances,
)

logger = logging.getLogger(__name__)

Chunks = Iterator[tuple[slice, npt.NDArray[np.float32]]]


def distance_device(cfg: Any) -> torch.device:
    """Compute distances where the model runs."""
    return torch.device(cfg.MODEL.DEVICE if torch.cuda.is_available() else "cpu")


def make_chunks(
    query: torch.Tensor, gallery: torch.Tensor, test: Any, device: torch.device
) -> Callable[[], Chunks]:
    """Prepare the distances that ``cfg.TEST`` asks for, in chunks of queries.

    Args:
        query: (Q, D) features.
        gallery: (G, D) features.
        test: the node ``cfg.TEST`` (METRIC, AQE, RERANK).
        device: where distances are computed.

    Returns:
        a function without arguments; each call starts a new iterator of (queries' slice, distances (C, G)).
    """
    if test.AQE.ENABLED:
        logger.info("Test with AQE setting")
        query, gallery = expand_queries(
            query, gallery, test.AQE.QE_TIME, test.AQE.QE_K, test.AQE.ALPHA, device=device
        )

    def plain() -> Chunks:
        return iter_distances(query, gallery, test.METRIC, device=device)

    if not test.RERANK.ENABLED:
        return plain
    logger.info("Test with rerank setting")
    share = test.RERANK.LAMBDA
    # the host's re-ranking compares normalised features for the cosine metric (reid_evaluation.py:98)
    images = torch.cat((query, gallery))
    images = F.normalize(images, dim=1) if test.METRIC == "cosine" else images
    encodings = encode_neighbours(images, test.RERANK.K1, test.RERANK.K2, device)

    def reranked() -> Chunks:
        jaccard = iter_encoded_distances(encodings, len(query))
        for (part, distances), (_, jaccard_distances) in zip(plain(), jaccard, strict=True):
            yield part, jaccard_distances * (1 - share) + distances * share

    return reranked
