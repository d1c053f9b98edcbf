"""Patch of the host's ShuffleNetV2 (modeling/backbones/shufflenet.py)."""

from __future__ import annotations

from typing import Any

from fastreid.modeling.backbones.shufflenet import ShuffleV2Block
from torch import Tensor


def patch_shufflenet() -> None:
    """Let a block split its channels for batches of any size, even after tracing."""
    ShuffleV2Block.channel_shuffle = channel_shuffle


def channel_shuffle(self: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Split (N, C, H, W) into its even and its odd channels, each (N, C / 2, H, W).

    shufflenet.py:76 reads the size from ``x.data``; tracing turns that into constants, including the batch size.
    """
    return x[:, ::2], x[:, 1::2]
