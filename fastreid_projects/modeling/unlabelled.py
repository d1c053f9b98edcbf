"""Batches without labels, which an architecture gets in training mode when BatchNorm's statistics are recomputed.

The host's utils/precision_bn.py:60 sets all targets to -1, runs the model without gradients and ignores the losses.
Baseline then sets the targets to 0 (baseline.py:109): a single identity, for which not every loss is defined.
"""

from __future__ import annotations

import torch
from torch import Tensor


def training_targets(targets: Tensor) -> tuple[Tensor, bool]:
    """Return the targets to train on, and whether the losses are used.

    Args:
        targets: (N,) of a batch.

    Returns:
        The targets (N,), all 0 if the batch has none; and False if, in addition, gradients are disabled.
    """
    if torch.is_grad_enabled():
        return known_targets(targets), True
    if targets.sum() >= 0:
        return targets, True
    return torch.zeros_like(targets), False


def known_targets(targets: Tensor) -> Tensor:
    """Return the targets (N,), all 0 if the batch has none, without waiting for the GPU."""
    return torch.where(targets.sum() < 0, 0, targets)
