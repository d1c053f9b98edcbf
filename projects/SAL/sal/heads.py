"""The multi-level head: pooled levels side by side, one linear layer, a classifier (sec. 3.1, fig. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from fastreid.modeling.heads import REID_HEADS_REGISTRY, EmbeddingHead
from torch import Tensor, nn


class LevelPool(nn.Module):
    """Makes a pooling layer take several levels; pooling their concatenation would need it in memory."""

    def forward(self, levels: Tensor | Sequence[Tensor]) -> Tensor:
        """One map or several (N, C_i, H_i, W_i) -> (N, sum of C_i, 1, 1)."""
        maps = [levels] if isinstance(levels, Tensor) else levels
        return torch.cat([super(LevelPool, self).forward(features) for features in maps], dim=1)


def pool_levels(pool: nn.Module) -> nn.Module:
    """Let a pooling layer of the host take levels, too; it stays an instance of its class."""
    kind = type(pool)
    pool.__class__ = type(f"Level{kind.__name__}", (LevelPool, kind), {})
    return pool


@REID_HEADS_REGISTRY.register()
class MultiLevelHead(EmbeddingHead):
    """The host's embedding head on the levels of a backbone, or on a single map.

    With ``EMBEDDING_DIM`` 1024 and ``NECK_FEAT`` after, the losses and the evaluation see the paper's 1024-d feature.
    The linear layer has a bias unless a BatchNorm follows, whose shift does the same.
    """

    takes_levels = True
    pool_layer: nn.Module
    bottleneck: nn.Sequential

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pool_layer = pool_levels(self.pool_layer)

    def reset_parameters(self) -> None:
        """Give the linear layer its bias, then initialise as the host does."""
        modules = list(self.bottleneck)
        if len(modules) == 1 and isinstance(linear := modules[0], nn.Conv2d):
            self.bottleneck = nn.Sequential(nn.Conv2d(linear.in_channels, linear.out_channels, 1))
        super().reset_parameters()
