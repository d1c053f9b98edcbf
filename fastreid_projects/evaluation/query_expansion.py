"""Query expansion: a query is replaced by a weighted mean of itself and its nearest gallery images.

| letter | meaning                         |
| ------ | ------------------------------- |
| Q, G   | number of query, gallery images |
| N      | Q + G                           |
| D      | feature size                    |

``"radenovic2018"`` is alpha query expansion as published (Chum et al. 2007, Radenovic et al. 2018): the weights are
similarity^alpha, and 1 for the query itself; the gallery is not changed. ``"fastreid"`` is what the host computes
(``evaluation/query_expansion.py:15``): gallery images are replaced, too, queries are neighbours of each other, and the
sum is divided by the number of neighbours instead of the weights, which shortens each feature by a different factor.
"""

from __future__ import annotations

import logging

import torch
import torch.nn.functional as F

from fastreid_projects.errors import ConfigError

logger = logging.getLogger(__name__)

RADENOVIC, FASTREID = "radenovic2018", "fastreid"
FORMULAS = (RADENOVIC, FASTREID)


@torch.no_grad()
def expand_queries(
    query: torch.Tensor,
    gallery: torch.Tensor,
    times: int = 1,
    k: int = 5,
    alpha: float = 3.0,
    chunk: int = 256,
    device: torch.device | str | None = None,
    formula: str = RADENOVIC,
    metric: str = "cosine",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the expanded query features and the gallery features.

    A ``k`` above the number of images is lowered to it with a warning. A negative similarity counts as 0 if its power
    would be negative or NaN.

    Args:
        query: (Q, D) features.
        gallery: (G, D) features.
        times: how many times to expand, TEST.AQE.QE_TIME.
        k: the number of neighbours to average, TEST.AQE.QE_K.
        alpha: the exponent of the weights, TEST.AQE.ALPHA.
        chunk: the number of images whose similarities are in memory at the same time.
        device: the device to compute on; by default that of ``query``.
        formula: one of FORMULAS, TEST.AQE.FORMULA.
        metric: ``"cosine"`` averages features of unit length, ``"euclidean"`` the features as they are.

    Returns:
        The new query (Q, D) and gallery (G, D) features, float32 on the CPU.

    Raises:
        ConfigError: ``k`` or ``times`` is below 1, or the formula is unknown.
    """
    if k < 1 or times < 1:
        raise ConfigError(
            f"TEST.AQE.QE_K is {k} and TEST.AQE.QE_TIME is {times}, but both must be at least 1."
        )
    if formula not in FORMULAS:
        raise ConfigError(f"TEST.AQE.FORMULA is '{formula}', but must be one of {', '.join(FORMULAS)}.")
    device = query.device if device is None else torch.device(device)
    query, gallery = query.to(device, torch.float32), gallery.to(device, torch.float32)
    available = len(gallery) if formula == RADENOVIC else len(query) + len(gallery)
    if k > available:
        logger.warning("TEST.AQE.QE_K is %d, but there are only %d images: all are averaged.", k, available)
        k = available
    if formula == FASTREID:
        return _expand_all(query, gallery, times, k, alpha, chunk)
    if metric == "cosine":
        query, gallery = F.normalize(query, dim=1), F.normalize(gallery, dim=1)
    directions = F.normalize(gallery, dim=1)
    for _ in range(times):
        query = torch.cat(
            [_weighted_mean(part, directions, gallery, k, alpha) for part in query.split(chunk)]
        )
    return query.cpu(), gallery.cpu()


def _weighted_mean(
    part: torch.Tensor, directions: torch.Tensor, gallery: torch.Tensor, k: int, alpha: float
) -> torch.Tensor:
    """Return the mean of queries (C, D) and their ``k`` nearest gallery images, weighted by similarity^alpha."""
    similarity, nearest = torch.topk(F.normalize(part, dim=1) @ directions.t(), k, dim=1)
    weights = similarity.clamp(min=0).pow(alpha)
    total = part + torch.einsum("ck,ckd->cd", weights, gallery[nearest])
    return total / (1 + weights.sum(dim=1, keepdim=True))


def _expand_all(
    query: torch.Tensor, gallery: torch.Tensor, times: int, k: int, alpha: float, chunk: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Expand queries and gallery images by the host's formula, without its N x N matrix."""
    features = torch.cat((query, gallery))
    for _ in range(times):
        normalised = F.normalize(features, dim=1)
        parts = [_expand(part, normalised, features, k, alpha) for part in normalised.split(chunk)]
        features = torch.cat(parts)
    features = features.cpu()
    return features[: len(query)], features[len(query) :]


def _expand(
    part: torch.Tensor, normalised: torch.Tensor, features: torch.Tensor, k: int, alpha: float
) -> torch.Tensor:
    """Return the expanded features (C, D) of the normalised ``part`` (C, D)."""
    similarity, nearest = torch.topk(part @ normalised.t(), k, dim=1)
    if not float(alpha).is_integer():
        similarity = similarity.clamp(min=0)
    return torch.einsum("ck,ckd->cd", similarity.pow(alpha), features[nearest]) / k
