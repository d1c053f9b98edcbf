"""Bringing a batch to a model's device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def move_batch(batch: Any, device: torch.device) -> Any:
    """Return the batch with its tensors on ``device``.

    The targets are copied in any case: baseline.py:109 and mgn.py:199 set negative ones to zero in place.
    """
    if not isinstance(batch, dict):
        return batch
    moved = {
        key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for key, value in batch.items()
    }
    if moved.get("targets") is not None and moved["targets"] is batch["targets"]:
        moved["targets"] = batch["targets"].clone()
    return moved
