"""Distances of all pairs of a batch, for losses: exact for near pairs, with finite gradients, at any precision.

| letter | meaning                |
| ------ | ---------------------- |
| N      | images                 |
| D      | size of a feature      |

Nothing larger than N x N and N x D is made. This module needs torch alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

METRICS = ("euclidean", "cosine")
# Squared distances below this share of the squared norms are float64's rounding: the two features are the same.
_NOISE = 1e-14
# Below this share of their length a difference of two products loses half of float32's digits or more.
_NEAR = 1e-3


def pair_distances(features: Tensor, metric: str = "euclidean") -> Tensor:
    """Distances of all pairs, by name.

    Args:
        features: (N, D), of any floating type.
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
    """Euclidean distances of unnormalised features.

    The Gram matrix is taken in float64: in float32, |x|^2 + |y|^2 - 2 xy of two near images is rounding noise, and
    near images are what pair losses are about. So is the gradient of a batch with a near pair. Equal features have
    distance 0 and no gradient.

    Args:
        features: (N, D), of any floating type.

    Returns:
        (N, N) with a zero diagonal, >= 0, float32; float64 for float64 features.
    """
    features = wide(_checked(features))
    with torch.autocast(features.device.type, enabled=False):
        return _EuclideanDistances.apply(features, features.double())


def cosine_distances(features: Tensor) -> Tensor:
    """1 - cosine similarity; a feature of zeros is at distance 1 of all others, with a finite gradient.

    Args:
        features: (N, D), of any floating type.

    Returns:
        (N, N), in 0..2 but for rounding, float32; float64 for float64 features.
    """
    features = wide(_checked(features))
    with torch.autocast(features.device.type, enabled=False):
        squares = features.square().sum(dim=1, keepdim=True)
        units = features / torch.where(squares > 0, squares, torch.ones_like(squares)).sqrt()
        return 1 - units @ units.t()


def without_blank(features: Tensor) -> Tensor:
    """Features (N, D) of which those of zeros get no gradient: scaled to unit length, theirs overflows float16."""
    return torch.where((features != 0).any(dim=1, keepdim=True), features, features.detach())


def wide(values: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _checked(features: Tensor) -> Tensor:
    if features.dim() != 2 or not features.is_floating_point():
        raise ValueError(
            f"features of a loss are floats of shape (images, size), but these are {features.dtype} of shape "
            f"{tuple(features.shape)}"
        )
    return features


class _EuclideanDistances(torch.autograd.Function):
    """Forward by a float64 Gram matrix; backward by one product, in float64 where a pair is near."""

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
        """The gradient of sum_ij g_ij d_ij: sum_j (g_ij + g_ji) (x_i - x_j) / d_ij.

        It is a difference of terms that are |x| / d times as great: float64 has the digits for a near pair.
        """
        features, double, distances, lengths = ctx.saved_tensors
        apart = distances > 0
        weights = gradients[0] / torch.where(apart, distances, torch.ones_like(distances)) * apart
        weights = weights + weights.t()
        with torch.autocast(features.device.type, enabled=False):
            if (apart & (distances < _NEAR * lengths)).any():
                weights = weights.double()
                return None, (weights.sum(dim=1).diag() - weights) @ double
            return (weights.sum(dim=1).diag() - weights) @ features, None
