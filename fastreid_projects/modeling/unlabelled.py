"""Batches without labels, which an architecture gets in training mode when BatchNorm's statistics are taken anew.

utils/precision_bn.py:60 sets all targets to -1, runs the model without gradients and reads no loss. Baseline makes the
targets 0 (baseline.py:109): one identity, of which not every loss can be taken.
"""

from __future__ import annotations

import torch
from torch import Tensor


def training_targets(targets: Tensor) -> tuple[Tensor, bool]:
    """What an architecture trains on, and whether anybody reads its losses.

    Args:
        targets: (N,) of a batch.

    Returns:
        The targets (N,), all 0 where the batch has none; and False where, besides, no gradient is taken.
    """
    if torch.is_grad_enabled():
        return known_targets(targets), True
    if targets.sum() >= 0:
        return targets, True
    return torch.zeros_like(targets), False


def known_targets(targets: Tensor) -> Tensor:
    """Return the targets (N,), all 0 where the batch has none; a GPU is not waited for."""
    return torch.where(targets.sum() < 0, 0, targets)
