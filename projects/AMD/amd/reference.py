"""A plain implementation: the head layer by layer, and Eq. 1 with one pass over the feature map for each attribute.

It follows the paper literally; :mod:`.heads` and :mod:`.decomposition` are tested and timed against it. Training does
not use it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fastreid_projects.visualization.contributions.pooling import Pooling

from .heads import AttributeDecompositionHead, pepu


def attention_plain(head: AttributeDecompositionHead, features: Tensor) -> Tensor:
    """Apply sec. 3.2 one convolution after the other: (N, C, H, W) -> A (N, M, H, W)."""
    return pepu(head.decompose(head.reduce(features)), head.kappa, head.tau)


def attribute_features_plain(features: Tensor, attention: Tensor, pooling: Pooling) -> Tensor:
    """Return the pooled features of F * A^k, attribute after attribute: (N, C, H, W), (N, M, H, W) -> (N, M, C)."""
    return torch.stack([_pool(features * a.unsqueeze(1), pooling) for a in attention.unbind(1)], dim=1)


def _pool(product: Tensor, pooling: Pooling) -> Tensor:
    flat = product.flatten(2)
    pooled = torch.zeros((), device=flat.device)
    if "mean" in pooling.kind:
        clamped = flat if pooling.floor is None else flat.clamp(min=pooling.floor)
        pooled = clamped.pow(pooling.p).mean(dim=2).pow(1 / pooling.p)
    if "max" in pooling.kind:
        pooled = pooled + flat.amax(dim=2)
    return pooled if pooling.ceiling is None else pooled.clamp(0, pooling.ceiling)


def pairwise_distances_plain(features: Tensor) -> Tensor:
    """Return the distances of all pairs from the N x N x M x D tensor of differences: (N, M, D) -> (N, N, M)."""
    return (features.unsqueeze(1) - features.unsqueeze(0)).norm(dim=3)
