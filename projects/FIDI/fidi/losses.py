"""The FIDI loss (Eq. 4-7): a symmetric relative entropy between the labels of pairs and their distances.

| letter | meaning                                                 |
| ------ | ------------------------------------------------------- |
| N      | images of the batch                                     |
| D      | size of a feature                                       |
| d      | Euclidean distance of a pair of unnormalised features   |
| u      | exp(-beta d), in 0..1 (Eq. 6)                           |
| k      | 1 for a pair of one identity, else 0                    |

The pairs are the N (N - 1) ordered pairs i != j. This module needs only torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fastreid_projects.losses.batch_hard import same_identity
from fastreid_projects.losses.distances import euclidean_distances
from fastreid_projects.losses.gather import gather_batch
from fastreid_projects.losses.registry import register_loss

REDUCTIONS = ("mean", "sum", "balanced")


def fidi_loss(
    features: Tensor, labels: Tensor, *, alpha: float = 1.05, beta: float = 0.5, reduction: str = "mean"
) -> Tensor:
    """Return D(U||K) + D(K||U) over all pairs of a batch (Eq. 4-6).

    Args:
        features: (N, D), unnormalised, of any floating-point type; distances are float32.
        labels: (N,) identities.
        alpha: above 1; bounds the loss of a far pair of one identity by log(alpha / (alpha - 1)) (Eq. 7).
        beta: above 0; how fast u falls with the distance.
        reduction: ``"mean"`` over the pairs, ``"sum"`` (Eq. 5 literally), or ``"balanced"``: the mean over the pairs of
            one identity plus the mean over the others.

    Returns:
        A scalar, float32 (float64 for float64 features); 0 with its graph for fewer than two images.

    Raises:
        ValueError: a parameter is out of its range, or the shapes do not fit.
    """
    check_options(alpha, beta, reduction)
    same = same_identity(labels, len(features))
    losses = pair_losses(euclidean_distances(features), same, alpha, beta)
    if reduction == "balanced":
        itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
        return _mean(losses, same & ~itself) + _mean(losses, ~same)
    total = losses.sum()  # an image and itself: 0, and so is the derivative
    return total if reduction == "sum" else total / max(len(features) * (len(features) - 1), 1)


def pair_losses(distances: Tensor, same: Tensor, alpha: float = 1.05, beta: float = 0.5) -> Tensor:
    """Return Eq. 4-6 of each pair, with 0 log 0 = 0; value and gradient are finite for any finite distance.

    k = 0: u log(alpha / (alpha - 1)). k = 1: u log(alpha u / ((alpha - 1) u + 1)) + log(alpha / (alpha - 1 + u)).
    log u is -beta d, and with v = 1 - u the other logarithms are of 1 minus something small, so that the loss of a
    pair of one identity at distance 0 is 0 and not the rounding error of two logarithms.

    Args:
        distances: d >= 0, of any shape.
        same: bool of that shape, True where k = 1.
        alpha: above 1.
        beta: above 0.

    Returns:
        Losses of that shape, in 0..log(alpha / (alpha - 1)) except for rounding.
    """
    return _PairLosses.apply(distances, same, alpha, beta)


class _PairLosses(torch.autograd.Function):
    """Compute the losses of pairs and their derivatives from the same exponentials and logarithms."""

    @staticmethod
    def forward(ctx: Any, distances: Tensor, same: Tensor, alpha: float, beta: float) -> Tensor:
        losses, slopes = _losses_and_slopes(distances, same, alpha, beta)
        ctx.save_for_backward(distances, same, slopes)
        ctx.options = alpha, beta
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        distances, same, slopes = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is asked for
            slopes = _losses_and_slopes(distances, same, *ctx.options)[1]
        return gradients[0] * slopes, None, None, None


def _losses_and_slopes(distances: Tensor, same: Tensor, alpha: float, beta: float) -> tuple[Tensor, Tensor]:
    """Return the losses of :func:`pair_losses` and their derivatives dL/dd = -beta u dL/du.

    k = 0: dL/du = log(alpha / (alpha - 1)). k = 1, with p = (alpha - 1) u + 1 and q = alpha - 1 + u:
    dL/du = log(alpha u / p) + 1 / p - 1 / q, where 1 / p - 1 / q = (alpha - 2) v / (p q) has no difference left.
    """
    log_u = -beta * distances
    u, v = log_u.exp(), -log_u.expm1()
    p = alpha - (alpha - 1) * v
    log_ratio = log_u - torch.log1p((1 - alpha) / alpha * v)
    # Far pairs: alpha - v cancels if alpha is near 1, alpha - 1 + u does not.
    near = (u > 0.5).to(u.dtype)
    q = near * (alpha - v) + (1 - near) * (alpha - 1 + u)
    second = near * torch.log1p(v / -alpha) + (1 - near) * (torch.log(q) - math.log(alpha))
    k, bound = same.to(u.dtype), math.log(alpha / (alpha - 1))
    losses = k * (u * log_ratio - second) + (1 - k) * bound * u
    slopes = -beta * u * (k * (log_ratio + (alpha - 2) * v / (p * q)) + (1 - k) * bound)
    return losses, slopes


def check_options(alpha: float, beta: float, reduction: str) -> None:
    """Raise ValueError if a parameter is out of its range."""
    if not 1 < alpha < math.inf:
        raise ValueError(f"alpha of the FIDI loss is {alpha}, but has to be above 1 (the paper: 1.05)")
    if not 0 < beta < math.inf:
        raise ValueError(f"beta of the FIDI loss is {beta}, but has to be above 0 (the paper: 0.5)")
    if reduction not in REDUCTIONS:
        raise ValueError(f"the reduction is '{reduction}', but has to be one of {', '.join(REDUCTIONS)}")


def _mean(losses: Tensor, chosen: Tensor) -> Tensor:
    return losses.masked_fill(~chosen, 0).sum() / chosen.sum().clamp(min=1)


@register_loss
class FIDILoss(nn.Module):
    """Compute :func:`fidi_loss` as a module: ``loss(embeddings, labels)``.

    Args:
        alpha: above 1.
        beta: above 0.
        reduction: ``"mean"``, ``"sum"`` or ``"balanced"``.
        gather: whether to use the pairs of all processes; see :mod:`fastreid_projects.losses.gather`.

    Raises:
        ValueError: a parameter is out of its range.
    """

    inputs = "features"
    config_node = "FIDI"

    def __init__(
        self, alpha: float = 1.05, beta: float = 0.5, reduction: str = "mean", gather: bool = False
    ) -> None:
        super().__init__()
        check_options(alpha, beta, reduction)
        self.alpha, self.beta, self.reduction, self.gather = alpha, beta, reduction, gather

    @classmethod
    def from_config(cls, cfg: Any) -> FIDILoss:
        """Read ``MODEL.LOSSES.FIDI``."""
        node = cfg.MODEL.LOSSES.FIDI
        return cls(node.ALPHA, node.BETA, node.REDUCTION, node.GATHER)

    def forward(self, embeddings: Tensor, labels: Tensor | Sequence[int]) -> Tensor:
        """Return the loss of embeddings (N, D) with labels (N,), a scalar."""
        ids = torch.as_tensor(labels, device=embeddings.device)
        if self.gather:
            embeddings, ids = gather_batch(embeddings, ids)
        return fidi_loss(embeddings, ids, alpha=self.alpha, beta=self.beta, reduction=self.reduction)

    def extra_repr(self) -> str:
        """Show the options."""
        return f"alpha={self.alpha}, beta={self.beta}, reduction={self.reduction}, gather={self.gather}"
