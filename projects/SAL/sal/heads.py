"""The multi-level head: pooled levels side by side, one linear layer, and a classifier (sec. 3.1, fig. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from fastreid.config import configurable
from fastreid.modeling.heads import REID_HEADS_REGISTRY, EmbeddingHead
from torch import Tensor, nn

from fastreid_projects.modeling.pooling import ChannelPooling

from .backbone import BUILDERS, level_channels


class LevelPool(nn.Module):
    """Let a pooling layer pool several levels; pooling their concatenation would need it in memory."""

    def forward(self, levels: Tensor | Sequence[Tensor]) -> Tensor:
        """Pool one or several maps (N, C_i, H_i, W_i) to (N, sum of C_i, 1, 1)."""
        maps = [levels] if isinstance(levels, Tensor) else levels
        return torch.cat([super(LevelPool, self).forward(features) for features in maps], dim=1)


class LevelPools(nn.ModuleList):
    """A pooling layer with weights for each level.

    Args:
        kind: the class of all of them.
        channels: C_i of each level.
    """

    def __init__(self, kind: type[ChannelPooling], channels: Sequence[int]) -> None:
        pools = [kind() for _ in channels]
        for pool, count in zip(pools, channels, strict=True):
            pool.build(count)
        super().__init__(pools)
        self.channels = list(channels)

    def forward(self, levels: Tensor | Sequence[Tensor]) -> Tensor:
        """Pool the levels (N, C_i, H_i, W_i), or their concatenation, to (N, sum of C_i, 1, 1)."""
        maps = levels.split(self.channels, dim=1) if isinstance(levels, Tensor) else levels
        return torch.cat([pool(features) for pool, features in zip(self, maps, strict=True)], dim=1)


def pool_levels(pool: nn.Module, channels: Sequence[int]) -> nn.Module:
    """Let a pooling layer of the host also pool levels; one without weights stays an instance of its class."""
    if isinstance(pool, ChannelPooling) and len(channels) > 1:
        return LevelPools(type(pool), channels)
    kind = type(pool)
    pool.__class__ = type(f"Level{kind.__name__}", (LevelPool, kind), {})
    return pool


@REID_HEADS_REGISTRY.register()
class MultiLevelHead(EmbeddingHead):
    """The host's embedding head on the levels of a backbone, or on a single map.

    With ``EMBEDDING_DIM`` 1024 and ``NECK_FEAT`` after, the losses and the evaluation see the paper's 1024-d feature.
    The linear layer has a bias unless a BatchNorm follows, whose shift has the same effect.

    Args:
        level_channels: the channels of each level, or of the single map.
        arguments: the arguments of the host's head.
    """

    takes_levels = True
    pool_layer: nn.Module
    bottleneck: nn.Sequential

    @configurable
    def __init__(self, *, level_channels: Sequence[int], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.pool_layer = pool_levels(self.pool_layer, level_channels)

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Read the values that the host's head reads, and the levels of the backbone."""
        own = cfg.MODEL.BACKBONE.NAME in BUILDERS
        channels = level_channels(cfg) if own else [cfg.MODEL.BACKBONE.FEAT_DIM]
        return {**super().from_config(cfg), "level_channels": channels}

    def reset_parameters(self) -> None:
        """Give the linear layer a bias, then initialise as the host does."""
        modules = list(self.bottleneck)
        if len(modules) == 1 and isinstance(linear := modules[0], nn.Conv2d):
            self.bottleneck = nn.Sequential(nn.Conv2d(linear.in_channels, linear.out_channels, 1))
        super().reset_parameters()
