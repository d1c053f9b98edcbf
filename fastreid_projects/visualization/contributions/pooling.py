"""Pool a feature map with M weight maps at once, and compute the share of every cell in the pooled value.

| letter | meaning                                        |
| ------ | ---------------------------------------------- |
| N      | images                                         |
| C      | channels of the feature map F                  |
| H x W  | size of that map, of P cells                   |
| M      | weight maps A^k; a map of ones pools plainly   |

For a generalised mean with exponent p, the M passes over N x C x H x W are one batched matrix product, since

    GeM(F * A^k) = ((1/P) sum_x F(x)^p A^k(x)^p)^(1/p),

and likewise for the average (p = 1). Max pooling has no such product: the position of each maximum is found without
gradient, map by map, and the value is gathered. This is exact as well, and does not hold N x M x C x H x W values
either.

All of these are homogeneous of degree one in F; by Euler's theorem, the shares F(x) d pooled / d F(x) of all cells add
up to the pooled value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from fastreid.layers import pooling as host_pooling
from torch import Tensor, nn

_TINY = 1e-30


@dataclass(frozen=True)
class Pooling:
    """How a model pools its last feature map.

    Attributes:
        kind: ``"mean"`` is the generalised mean with exponent ``p`` (1 is the average), ``"max"`` the maximum,
            ``"mean+max"`` the sum of both.
        p: exponent of the generalised mean, > 0.
        floor: lower bound to which the map is clamped first, as in the host's GeM; None does not clamp it.
        ceiling: upper bound of the pooled value, which is clamped to [0, ceiling]; None does not clamp it.
    """

    kind: Literal["mean", "max", "mean+max"] = "mean"
    p: float = 1.0
    floor: float | None = None
    ceiling: float | None = None

    def __call__(self, features: Tensor, weights: Tensor) -> Tensor:
        """Pool F * A^k for every k.

        Args:
            features: F, (N, C, H, W).
            weights: A, (N, M, H, W), positive.

        Returns:
            (N, M, C) in float32, even under autocast, as F^p A^p exceeds the range of float16.
        """
        with torch.autocast(features.device.type, enabled=False):
            flat, rows = self._flatten(features, weights)
            pooled = torch.zeros((), device=flat.device)
            if "mean" in self.kind:
                pooled = _generalised_mean(flat, rows, self.p)
            if "max" in self.kind:
                pooled = pooled + _maximum(flat, rows)
            return pooled if self.ceiling is None else pooled.clamp(0, self.ceiling)

    def shares(self, features: Tensor, weights: Tensor, gradients: Tensor) -> Tensor:
        """Split sum_c g_c f_c of every k over the cells.

        If the pooled value f_c is clamped, its shares are scaled to the clamped value.

        Args:
            features: F, (N, C, H, W).
            weights: A, (N, M, H, W), positive.
            gradients: g, (N, M, C), the weight of each pooled channel.

        Returns:
            (N, M, H, W) in float32; their sums over the cells are sum_c g_c f_c.
        """
        with torch.autocast(features.device.type, enabled=False):
            flat, rows = self._flatten(features, weights)
            values = gradients.float()
            if self.ceiling is not None:
                free = Pooling(self.kind, self.p, self.floor)(features, weights)
                values = values * torch.where(free > _TINY, free.clamp(0, self.ceiling) / free, 0.0)
            cells = torch.zeros_like(rows)
            if "mean" in self.kind:
                cells = _mean_shares(flat, rows, self.p, values)
            if "max" in self.kind:
                cells = cells + _maximum_shares(flat, rows, values)
            return cells.view(*weights.shape[:2], *features.shape[2:])

    def _flatten(self, features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return F as (N, C, P), clamped, and A as (N, M, P)."""
        if features.shape[-2:] != weights.shape[-2:] or len(features) != len(weights):
            raise ValueError(
                f"feature map {tuple(features.shape)} and attention {tuple(weights.shape)} do not fit together"
            )
        flat = features.float().flatten(2)
        return flat if self.floor is None else flat.clamp(min=self.floor), weights.float().flatten(2)


def _generalised_mean(flat: Tensor, weights: Tensor, p: float) -> Tensor:
    if p == 1.0:
        return torch.bmm(weights, flat.transpose(1, 2)) / flat.shape[-1]
    # The mean is homogeneous in A, whose scale is factored out before the power, which could overflow float32.
    peak = weights.detach().amax(dim=2, keepdim=True).clamp(min=_TINY)
    powers = torch.bmm((weights / peak).pow(p), flat.pow(p).transpose(1, 2)) / flat.shape[-1]
    return powers.clamp(min=_TINY).log().div(p).exp() * peak


def _mean_shares(flat: Tensor, weights: Tensor, p: float, values: Tensor) -> Tensor:
    """Return A^p / P sum_c g_c f_c^(1-p) F_c^p, with the scales of A and F's channels factored out of the powers."""
    cells = flat.shape[-1]
    if p == 1.0:
        return weights * torch.bmm(values, flat) / cells
    peak = weights.amax(dim=2, keepdim=True).clamp(min=_TINY)
    high = flat.amax(dim=2, keepdim=True).clamp(min=_TINY)
    masks, levels = (weights / peak).pow(p), (flat / high).pow(p)
    powers = torch.bmm(masks, levels.transpose(1, 2)) / cells  # (f / (peak high))^p
    per_channel = values * high.transpose(1, 2) * powers.clamp(min=_TINY).log().mul((1 - p) / p).exp()
    return peak * masks * torch.bmm(per_channel, levels) / cells


def _maximum(flat: Tensor, weights: Tensor) -> Tensor:
    where = _peaks(flat, weights)
    chosen = torch.stack([flat.gather(2, where[:, k].unsqueeze(2)) for k in range(weights.shape[1])], dim=1)
    return chosen.squeeze(3) * weights.gather(2, where)


def _maximum_shares(flat: Tensor, weights: Tensor, values: Tensor) -> Tensor:
    where = _peaks(flat, weights)
    return torch.zeros_like(weights).scatter_add_(2, where, values * _maximum(flat, weights))


@torch.no_grad()
def _peaks(flat: Tensor, weights: Tensor) -> Tensor:
    """Return the position where F_c A^k is greatest, (N, M, C)."""
    return torch.stack([(flat * weights[:, k : k + 1]).argmax(dim=2) for k in range(weights.shape[1])], dim=1)


def pooling_of(layer: nn.Module) -> Pooling | Callable[[Tensor, Tensor], Tensor]:
    """Return a function that pools F * A^k of all k as a pooling layer: (N, C, H, W), (N, M, H, W) -> (N, M, C).

    The host's averages, generalised means and maxima have a fast and exact implementation. Any other layer is applied
    to F * A^k itself, map by map, at M times the cost.
    """
    if isinstance(layer, host_pooling.GeneralizedMeanPooling):
        return Pooling("mean", _exponent(layer), floor=layer.eps)
    whole = getattr(layer, "output_size", 1) in (1, (1, 1))
    if (isinstance(layer, nn.AdaptiveAvgPool2d) and whole) or isinstance(
        layer, host_pooling.FastGlobalAvgPool
    ):
        return Pooling()
    if isinstance(layer, host_pooling.ClipGlobalAvgPool):
        return Pooling(ceiling=1.0)
    if isinstance(layer, nn.AdaptiveMaxPool2d) and whole:
        return Pooling("max")
    if isinstance(layer, host_pooling.AdaptiveAvgMaxPool):
        return Pooling("mean+max")
    return partial(pool_plainly, layer)


# Layer -> its parameter p, the version of p that was read, and its value.
_exponents: WeakKeyDictionary[nn.Module, tuple[int, int, float]] = WeakKeyDictionary()


def _exponent(layer: Any) -> float:
    """Return the exponent of a generalised mean; a frozen one is read once, so that no step waits for the GPU."""
    p = layer.p
    if not isinstance(p, Tensor) or p.requires_grad:
        return float(p.detach() if isinstance(p, Tensor) else p)
    known = _exponents.get(layer)
    if known is None or known[:2] != (id(p), p._version):
        known = _exponents[layer] = (id(p), p._version, float(p))
    return known[2]


def pool_plainly(layer: nn.Module, features: Tensor, weights: Tensor) -> Tensor:
    """Apply a pooling layer to F * A^k, one map at a time: (N, M, C) in float32."""
    with torch.autocast(features.device.type, enabled=False):
        parts = [layer(features.float() * weights[:, k : k + 1]) for k in range(weights.shape[1])]
    return torch.stack([part.flatten(1) for part in parts], dim=1)
