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
# Columns of the features that are in float64 together, and rows of blocks of their products, on a CPU.
_COLUMNS, _BLOCKS = 1024, 4


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
        return _EuclideanDistances.apply(features)


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
    def forward(ctx: Any, features: Tensor) -> Tensor:
        products = _gram(features)
        squares = products.diagonal().clone()
        means = products.mean(dim=1)
        centred = (squares - 2 * means + means.mean()).clamp_(min=0)
        scale = squares.unsqueeze(0) + squares.unsqueeze(1)
        squared = products.mul_(-2).add_(scale)
        distances = squared.masked_fill_(squared <= scale.mul_(_NOISE), 0).sqrt_().to(features.dtype)
        lengths = torch.stack([squares, centred]).sqrt_().to(features.dtype).unsqueeze(2)
        ctx.save_for_backward(features, distances, lengths)
        return distances

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the gradient of sum_ij g_ij d_ij: sum_j (g_ij + g_ji) (x_i - x_j) / d_ij.

        It is a difference of terms that are |x| / d times as large, for which a near pair needs the digits of float64;
        if all images are near each other, the features minus their mean have these digits.
        """
        features, distances, lengths = ctx.saved_tensors
        apart = distances > 0
        weights = gradients[0] / torch.where(apart, distances, torch.ones_like(distances)) * apart
        weights = weights + weights.t()
        with torch.autocast(features.device.type, enabled=False):
            # A GPU would have to wait to know whether a pair is near.
            if features.is_cuda or _near(distances, apart, lengths[1]):
                return _pulled(features.double(), weights.double()).to(features.dtype)
            if _near(distances, apart, lengths[0]):
                return _pulled(features - features.mean(dim=0), weights)
            return _pulled(features, weights)


def _pulled(features: Tensor, weights: Tensor) -> Tensor:
    """Return sum_j w_ij (x_i - x_j) of features (N, D) and symmetric weights (N, N): (N, D)."""
    return (weights.sum(dim=1).diag() - weights) @ features


def _gram(features: Tensor) -> Tensor:
    """Products of all pairs of features (N, D), in float64: (N, N).

    On a CPU 10 of 16 blocks of the symmetric matrix, and half of the columns at a time, whose copies the caches hold.
    """
    if features.is_cuda:
        double = features.double()
        return double @ double.t()
    n = len(features)
    products = features.new_zeros((n, n), dtype=torch.float64)
    step = max(-(-n // _BLOCKS), 16)
    for part in features.split(_COLUMNS, dim=1):
        double = part.double()
        for i in range(0, n, step):
            products[i : i + step, i:].addmm_(double[i : i + step], double[i:].t())
    return products.triu() + products.triu(1).t()


def _near(distances: Tensor, apart: Tensor, lengths: Tensor) -> bool:
    """Return whether a pair is so near that its difference is lost in the rounding of its features."""
    return bool((apart & (distances < _NEAR * lengths)).any())
