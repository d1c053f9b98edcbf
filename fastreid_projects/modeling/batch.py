"""Move a batch to a model's device, and split it."""

from __future__ import annotations

from collections.abc import Mapping
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


def split_batch(batch: Any, parts: int) -> list[Any]:
    """Split a batch into parts of consecutive images.

    Args:
        batch: a mapping with ``images``; values of the same length are split, and others are copied to each part.
        parts: number of parts, which has to divide the number of images.
    """
    if parts == 1 or not isinstance(batch, Mapping):
        return [batch]
    count = len(batch["images"])
    size = count // parts

    def part(value: Any, start: int) -> Any:
        split = isinstance(value, (Tensor, list, tuple)) and len(value) == count
        return value[start : start + size] if split else value

    starts = range(0, size * parts, size)
    return [{key: part(value, start) for key, value in batch.items()} for start in starts]
