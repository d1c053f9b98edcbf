"""Distances of all pairs of a batch, for losses: exact for near pairs, with finite gradients, in any precision.

| letter | meaning                |
| ------ | ---------------------- |
| N      | images                 |
| D      | size of a feature      |

Nothing larger than N x N and N x D is allocated. This module needs only torch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

METRICS = ("euclidean", "cosine")
# Squared distances below this share of the squared norms are rounding noise of float64: the two features are equal.
_NOISE = 1e-14
# For pairs nearer than this share of their length, a difference of two products loses half of float32's digits or more.
_NEAR = 1e-3


def pair_distances(features: Tensor, metric: str = "euclidean") -> Tensor:
    """Return the distances of all pairs by the named metric.

    Args:
        features: (N, D), of any floating-point type.
        metric: ``"euclidean"`` (>= 0) or ``"cosine"`` (1 - cosine similarity, in 0..2).

    Returns:
        (N, N), float32; float64 for float64 features.

    Raises:
        ValueError: unknown metric, or features that are not (N, D).
    """
    if metric not in METRICS:
        raise ValueError(f"the distance is '{metric}' but has to be one of {', '.join(METRICS)}")
    return euclidean_distances(features) if metric == "euclidean" else cosine_distances(features)


def euclidean_distances(features: Tensor) -> Tensor:
    """Return the Euclidean distances of unnormalised features.

    The Gram matrix is computed in float64, because in float32 |x|^2 + |y|^2 - 2 xy is only rounding noise for two near
    images, and pair losses are about near images. The gradient of a batch with a near pair is computed in float64, too.
    Equal features have distance 0 and no gradient.

    Args:
        features: (N, D), of any floating-point type.

    Returns:
        (N, N) with a zero diagonal, >= 0, float32; float64 for float64 features.
    """
    features = wide(_checked(features))
    with torch.autocast(features.device.type, enabled=False):
        return _EuclideanDistances.apply(features, features.double())


def cosine_distances(features: Tensor) -> Tensor:
    """Return 1 - cosine similarity; a zero feature has distance 1 to all others, with a finite gradient.

    Args:
        features: (N, D), of any floating-point type.

    Returns:
        (N, N), in 0..2 except for rounding, float32; float64 for float64 features.
    """
    features = wide(_checked(features))
    with torch.autocast(features.device.type, enabled=False):
        squares = features.square().sum(dim=1, keepdim=True)
        units = features / torch.where(squares > 0, squares, torch.ones_like(squares)).sqrt()
        return 1 - units @ units.t()


def without_blank(features: Tensor) -> Tensor:
    """Return features (N, D), of which zero ones get no gradient: after scaling to unit length it overflows float16."""
    return torch.where((features != 0).any(dim=1, keepdim=True), features, features.detach())


def wide(values: Tensor) -> Tensor:
    """Return half precision values as float32; float32 and float64 values as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _checked(features: Tensor) -> Tensor:
    if features.dim() != 2 or not features.is_floating_point():
        raise ValueError(
            f"features of a loss are floats of shape (images, size), but these are {features.dtype} of shape "
            f"{tuple(features.shape)}"
        )
    return features


class _EuclideanDistances(torch.autograd.Function):
    """Compute forward by a float64 Gram matrix, and backward by one product, in float64 if a pair is near."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, double: Tensor) -> Tensor:
        squared = double @ double.t()
        squares = squared.diagonal().clone()
        scale = squares.unsqueeze(0) + squares.unsqueeze(1)
        squared = squared.mul_(-2).add_(scale)
        distances = squared.masked_fill_(squared <= scale.mul_(_NOISE), 0).sqrt_().to(features.dtype)
        ctx.save_for_backward(features, double, distances, squares.sqrt().to(features.dtype).unsqueeze(1))
        return distances

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradient of sum_ij g_ij d_ij: sum_j (g_ij + g_ji) (x_i - x_j) / d_ij.

        It is a difference of terms that are |x| / d times as large, for which a near pair needs the digits of float64.
        """
        features, double, distances, lengths = ctx.saved_tensors
        apart = distances > 0
        weights = gradients[0] / torch.where(apart, distances, torch.ones_like(distances)) * apart
        weights = weights + weights.t()
        with torch.autocast(features.device.type, enabled=False):
            # A GPU is not asked, which would wait for it: there float64 costs less than the answer.
            if features.is_cuda or (apart & (distances < _NEAR * lengths)).any():
                weights = weights.double()
                return None, (weights.sum(dim=1).diag() - weights) @ double
            return (weights.sum(dim=1).diag() - weights) @ features, None
