"""Distances between queries and gallery as the config asks for them, in chunks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from fastreid_projects.evaluation.distance import comparable, iter_distances
from fastreid_projects.evaluation.query_expansion import expand_queries
from fastreid_projects.evaluation.reranking import ZHONG, encode_neighbours, farthest, iter_encoded_distances

logger = logging.getLogger(__name__)

Chunks = Iterator[tuple[slice, npt.NDArray[np.float32]]]


def distance_device(cfg: Any) -> torch.device:
    """Return the device that computes distances: that of the model."""
    return torch.device(cfg.MODEL.DEVICE if torch.cuda.is_available() else "cpu")


def make_chunks(
    query: torch.Tensor, gallery: torch.Tensor, test: Any, device: torch.device
) -> Callable[[], Chunks]:
    """Prepare the distances that ``cfg.TEST`` asks for, in chunks of queries.

    Args:
        query: (Q, D) features.
        gallery: (G, D) features.
        test: the node ``cfg.TEST`` (METRIC, AQE, RERANK).
        device: the device that distances are computed on.

    Returns:
        A function without arguments; each call starts a new iterator of (slice of the queries, distances (C, G)).
    """
    if test.AQE.ENABLED:
        logger.info("Test with AQE setting")
        aqe = test.AQE
        query, gallery = expand_queries(
            query,
            gallery,
            aqe.QE_TIME,
            aqe.QE_K,
            aqe.ALPHA,
            device=device,
            formula=aqe.FORMULA,
            metric=test.METRIC,
        )

    def plain() -> Chunks:
        return iter_distances(query, gallery, test.METRIC, device=device)

    if not test.RERANK.ENABLED:
        return plain
    logger.info("Test with rerank setting")
    rerank = test.RERANK
    images = torch.cat((query, gallery))
    if test.METRIC == "cosine":
        images = F.normalize(images.double(), dim=1)
    encodings = encode_neighbours(images, rerank.K1, rerank.K2, device, rerank.FORMULA)
    scales = _query_scales(images, len(query), device) if rerank.FORMULA == ZHONG else None
    share = rerank.LAMBDA

    def reranked() -> Chunks:
        jaccard = iter_encoded_distances(encodings, len(query))
        own = (
            plain()
            if scales is None
            else iter_distances(images[: len(query)], images[len(query) :], device=device)
        )
        for (part, distances), (_, jaccard_distances) in zip(own, jaccard, strict=True):
            scaled = distances if scales is None else distances * scales[part, None]
            yield part, jaccard_distances * (1 - share) + scaled * share

    return reranked


def _query_scales(images: torch.Tensor, num_query: int, device: torch.device) -> npt.NDArray[np.float32]:
    """Return one over the largest squared distance of each query to any image, (Q,)."""
    features, _ = comparable(images, "euclidean", device=device)
    return np.reciprocal(farthest(features, num_query))
