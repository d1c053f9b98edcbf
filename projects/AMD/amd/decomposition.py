"""Splitting a target's feature into attribute-guided features, and all pairwise distances of them.

| letter | meaning                                        |
| ------ | ---------------------------------------------- |
| N      | images                                         |
| C      | channels of the target's last feature map      |
| H x W  | size of that map                               |
| M      | attributes                                     |
| D      | size of the feature the target is scored with  |

Eq. 1 applies M attention maps A^k to a feature map F and pools each F * A^k. For a generalised mean with exponent
p the M passes over N x C x H x W are one batched matrix product; see
:mod:`fastreid_projects.visualization.contributions.pooling`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fastreid_projects.visualization.contributions.pooling import Pooling

_TINY = 1e-30


def attribute_features(features: Tensor, attention: Tensor, pooling: Pooling) -> Tensor:
    """Pooled features of F * A^k for all k at once (Eq. 1).

    Args:
        features: F, (N, C, H, W).
        attention: A, (N, M, H, W), positive.
        pooling: the target's own pooling.

    Returns:
        (N, M, C) in float32.
    """
    return pooling(features, attention)


def pairwise_distances(features: Tensor) -> Tensor:
    """Euclidean distances of all pairs of images, for each attribute, without an N x N x M x D tensor.

    Args:
        features: (N, D) or (N, M, D).

    Returns:
        (N, N) or (N, N, M), float32; the diagonal is 0 and carries no gradient, nor does a pair of equal features.
    """
    with torch.autocast(features.device.type, enabled=False):
        single = features.dim() == 2
        stack = (features.unsqueeze(1) if single else features).float().transpose(0, 1)  # (M, N, D)
        stack = stack - stack.mean(dim=1, keepdim=True).detach()  # distances keep, cancellation shrinks
        squares = stack.square().sum(dim=2)
        gram = torch.bmm(stack, stack.transpose(1, 2))
        squared = squares.unsqueeze(2) + squares.unsqueeze(1) - 2 * gram
        noise = 1e-6 * (squares.unsqueeze(2) + squares.unsqueeze(1)).detach()
        distances = _safe_sqrt(squared, noise)
        eye = torch.eye(stack.shape[1], dtype=torch.bool, device=stack.device)
        distances = distances.masked_fill(eye, 0.0)
        return distances[0] if single else distances.permute(1, 2, 0)


def _safe_sqrt(squared: Tensor, noise: Tensor) -> Tensor:
    """Square root that is 0 without gradient below ``noise``, the rounding error of the matrix product."""
    positive = squared > noise + _TINY
    return torch.where(positive, squared, torch.ones_like(squared)).sqrt() * positive


def apply_neck(neck: torch.nn.Module, features: Tensor) -> Tensor:
    """Send each attribute's feature through the target's neck.

    The shift of a BatchNorm cancels in a difference of two features, its scale does not; a reducing convolution
    acts on every f^k.

    Args:
        neck: module on (B, C, 1, 1), in eval mode.
        features: (N, M, C).

    Returns:
        (N, M, D).
    """
    with torch.autocast(features.device.type, enabled=False):
        n, m, c = features.shape
        return neck(features.reshape(n * m, c, 1, 1)).flatten(1).reshape(n, m, -1)


def resize_attention(attention: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring A (N, M, h, w) to a branch's map size (H, W), bilinearly; it stays positive."""
    if attention.shape[-2:] == size:
        return attention
    return F.interpolate(attention.float(), size=size, mode="bilinear", align_corners=False)
