"""Splitting a target's feature into attribute-guided features, and all pairwise distances of them.

| letter | meaning                                        |
| ------ | ---------------------------------------------- |
| N      | images                                         |
| C      | channels of the target's last feature map      |
| H x W  | size of that map                               |
| M      | attributes                                     |
| D      | size of the feature the target is scored with  |

Eq. 1 applies M attention maps A^k to a feature map F and pools each F * A^k. For a generalised mean with exponent
p the M passes over N x C x H x W are one batched matrix product, since

    GeM(F * A^k) = ((1/HW) sum_hw F^p (A^k)^p)^(1/p),

and likewise for the average (p = 1). Max pooling has no such product: there the position of each maximum is
searched without gradient, attribute by attribute, and the value is gathered, which is exact as well and never
holds N x M x C x H x W either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

_TINY = 1e-30


@dataclass(frozen=True)
class Pooling:
    """How a target pools its last feature map.

    Attributes:
        kind: ``"mean"`` is the generalised mean with exponent ``p`` (1 is the average), ``"max"`` the maximum,
            ``"mean+max"`` the sum of both.
        p: exponent of the generalised mean, > 0.
        floor: the map is clamped from below to this value first, as the host's GeM does; None leaves it as it is.
        ceiling: the pooled value is clamped to [0, ceiling]; None leaves it as it is.
    """

    kind: Literal["mean", "max", "mean+max"] = "mean"
    p: float = 1.0
    floor: float | None = None
    ceiling: float | None = None

    def __call__(self, features: Tensor, attention: Tensor) -> Tensor:
        """Pool F * A^k for every k; see :func:`attribute_features`."""
        return attribute_features(features, attention, self)


def attribute_features(features: Tensor, attention: Tensor, pooling: Pooling) -> Tensor:
    """Pooled features of F * A^k for all k at once (Eq. 1).

    Args:
        features: F, (N, C, H, W).
        attention: A, (N, M, H, W), positive.
        pooling: the target's own pooling.

    Returns:
        (N, M, C) in float32, whatever autocast says: F^p A^p leaves the range of float16.
    """
    if features.shape[-2:] != attention.shape[-2:] or len(features) != len(attention):
        raise ValueError(
            f"feature map {tuple(features.shape)} and attention {tuple(attention.shape)} do not fit together"
        )
    with torch.autocast(features.device.type, enabled=False):
        flat = features.float().flatten(2)
        weights = attention.float().flatten(2)
        if pooling.floor is not None:
            flat = flat.clamp(min=pooling.floor)
        pooled = torch.zeros((), device=flat.device)
        if "mean" in pooling.kind:
            pooled = _generalised_mean(flat, weights, pooling.p)
        if "max" in pooling.kind:
            pooled = pooled + _maximum(flat, weights)
        return pooled if pooling.ceiling is None else pooled.clamp(0, pooling.ceiling)


def _generalised_mean(flat: Tensor, weights: Tensor, p: float) -> Tensor:
    if p == 1.0:
        return torch.bmm(weights, flat.transpose(1, 2)) / flat.shape[-1]
    # The mean is homogeneous in A: its scale is taken out before the power, which could leave float32.
    peak = weights.detach().amax(dim=2, keepdim=True).clamp(min=_TINY)
    powers = torch.bmm((weights / peak).pow(p), flat.pow(p).transpose(1, 2)) / flat.shape[-1]
    return powers.clamp(min=_TINY).log().div(p).exp() * peak


def _maximum(flat: Tensor, weights: Tensor) -> Tensor:
    with torch.no_grad():
        where = torch.stack(
            [(flat * weights[:, k : k + 1]).argmax(dim=2) for k in range(weights.shape[1])], dim=1
        )
    chosen = torch.stack([flat.gather(2, where[:, k].unsqueeze(2)) for k in range(weights.shape[1])], dim=1)
    return chosen.squeeze(3) * weights.gather(2, where)


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
