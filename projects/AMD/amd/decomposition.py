"""Split a target's feature into attribute-guided features, and compute all their pairwise distances.

| letter | meaning                                        |
| ------ | ---------------------------------------------- |
| N      | images                                         |
| C      | channels of the target's last feature map      |
| H x W  | size of that map                               |
| M      | attributes                                     |
| D      | size of the feature the target is scored with  |

Eq. 1 applies M attention maps A^k to a feature map F and pools each F * A^k. With a generalised mean of exponent p,
the M passes over N x C x H x W become one batched matrix product; see
:mod:`fastreid_projects.visualization.contributions.pooling`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fastreid_projects.visualization.contributions.pooling import Pooling

_TINY = 1e-30


def attribute_features(features: Tensor, attention: Tensor, pooling: Pooling) -> Tensor:
    """Return the pooled features of F * A^k, for all k at once (Eq. 1).

    Args:
        features: F, (N, C, H, W).
        attention: A, (N, M, H, W), positive.
        pooling: the target's own pooling.

    Returns:
        (N, M, C) in float32.
    """
    return pooling(features, attention)


def pairwise_distances(features: Tensor) -> Tensor:
    """Return the Euclidean distances of all pairs of images for each attribute, without an N x N x M x D tensor.

    Args:
        features: (N, D) or (N, M, D).

    Returns:
        (N, N) or (N, N, M), float32. Neither the diagonal, which is 0, nor a pair of equal features has a gradient.
    """
    with torch.autocast(features.device.type, enabled=False):
        single = features.dim() == 2
        stack = (features.unsqueeze(1) if single else features).float().transpose(0, 1)  # (M, N, D)
        stack = stack - stack.mean(dim=1, keepdim=True).detach()  # keeps the distances, reduces cancellation
        squares = stack.square().sum(dim=2)
        gram = torch.bmm(stack, stack.transpose(1, 2))
        squared = squares.unsqueeze(2) + squares.unsqueeze(1) - 2 * gram
        noise = 1e-6 * (squares.unsqueeze(2) + squares.unsqueeze(1)).detach()
        distances = _safe_sqrt(squared, noise)
        eye = torch.eye(stack.shape[1], dtype=torch.bool, device=stack.device)
        distances = distances.masked_fill(eye, 0.0)
        return distances[0] if single else distances.permute(1, 2, 0)


def _safe_sqrt(squared: Tensor, noise: Tensor) -> Tensor:
    """Return the square root, or 0 without a gradient below ``noise``, the rounding error of the matrix product."""
    positive = squared > noise + _TINY
    return torch.where(positive, squared, torch.ones_like(squared)).sqrt() * positive


def apply_neck(neck: torch.nn.Module, features: Tensor) -> Tensor:
    """Apply the target's neck to the feature of each attribute.

    In a difference of two features, the shift of a BatchNorm cancels out, but its scale does not; a reducing
    convolution acts on every f^k.

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
    """Resize A (N, M, h, w) bilinearly to the size (H, W) of a branch's map; it stays positive."""
    if attention.shape[-2:] == size:
        return attention
    return F.interpolate(attention.float(), size=size, mode="bilinear", align_corners=False)
