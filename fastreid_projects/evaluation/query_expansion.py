"""Average query expansion (Chum et al. 2007, with the alpha weights of Radenovic et al. 2018).

| letter | meaning                         |
| ------ | ------------------------------- |
| Q, G   | number of query, gallery images |
| N      | Q + G                           |
| D      | feature size                    |
"""

from __future__ import annotations

import logging

import torch
import torch.nn.functional as F

from fastreid_projects.errors import ConfigError

logger = logging.getLogger(__name__)


@torch.no_grad()
def expand_queries(
    query: torch.Tensor,
    gallery: torch.Tensor,
    times: int = 1,
    k: int = 5,
    alpha: float = 3.0,
    chunk: int = 256,
    device: torch.device | str | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Replace each feature by the mean of its ``k`` nearest, itself included, weighted by similarity^alpha.

    Gives the host's numbers (``evaluation/query_expansion.py:15``) without its N x N matrix. Two differences:
    a ``k`` above N is cut to N with a warning, and where ``alpha`` is no whole number a negative similarity
    counts as 0 instead of NaN.

    Args:
        query: (Q, D) features.
        gallery: (G, D) features.
        times: how often to expand, TEST.AQE.QE_TIME.
        k: neighbours to average, TEST.AQE.QE_K.
        alpha: exponent of the weights, TEST.AQE.ALPHA.
        chunk: images whose similarities are in memory together.
        device: where to compute; by default where ``query`` lies.

    Returns:
        The new query (Q, D) and gallery (G, D) features, float32 on the CPU.

    Raises:
        ConfigError: ``k`` or ``times`` below 1.
    """
    if k < 1 or times < 1:
        raise ConfigError(
            f"TEST.AQE.QE_K is {k} and TEST.AQE.QE_TIME is {times} but both must be at least 1."
        )
    device = query.device if device is None else torch.device(device)
    features = torch.cat((query, gallery)).to(device, torch.float32)
    if k > len(features):
        logger.warning(
            "TEST.AQE.QE_K is %d but there are only %d images: all are averaged.", k, len(features)
        )
        k = len(features)
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
