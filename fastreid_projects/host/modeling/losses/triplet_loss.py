"""Patch of modeling/losses/triplet_loss.py:110: a soft margin that does not wait for a GPU."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from fastreid.modeling import losses as host_losses
from fastreid.modeling.losses import triplet_loss as _host_triplet_loss
from fastreid.modeling.losses.triplet_loss import hard_example_mining, weighted_example_mining
from fastreid.modeling.losses.utils import cosine_dist, euclidean_dist
from torch import Tensor

from fastreid_projects.host_import import rebind

# The margin of the hinge that the host falls back to.
_FALLBACK = 0.3


def patch_triplet() -> None:
    """Replace the host's ``triplet_loss`` wherever it is imported."""
    rebind(host_losses.triplet_loss, triplet_loss)


def triplet_loss(
    embedding: Tensor, targets: Tensor, margin: float, norm_feat: bool, hard_mining: bool
) -> Tensor:
    """Return the host's triplet loss; with a soft margin (0) by the same formula without looking at its value.

    The host asks ``if loss == float('Inf')`` and then takes a hinge. On a GPU the question waits for the whole forward
    pass; here both are computed on the device, which chooses.

    Args:
        embedding: (N, D).
        targets: (N,) identities.
        margin: of the hinge; 0 for log(1 + exp(farthest positive - nearest negative)).
        norm_feat: take cosine distances.
        hard_mining: take the hardest pairs, not the weighted mean.

    Returns:
        A scalar.
    """
    if margin > 0:
        return _host_triplet_loss(embedding, targets, margin, norm_feat, hard_mining)
    distances = (cosine_dist if norm_feat else euclidean_dist)(embedding, embedding)
    same = (targets.unsqueeze(0) == targets.unsqueeze(1)).to(distances.dtype)
    mine = hard_example_mining if hard_mining else weighted_example_mining
    farthest, nearest = mine(distances, same, 1 - same)
    gap = farthest - nearest
    overflows = (gap > math.log(torch.finfo(gap.dtype).max)).any()
    return torch.where(overflows, (gap + _FALLBACK).relu().mean(), F.softplus(gap).mean())
