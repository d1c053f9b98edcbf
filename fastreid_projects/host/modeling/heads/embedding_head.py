"""Patch of modeling/heads/embedding_head.py.

| host's defect                                                                          | where                 |
| -------------------------------------------------------------------------------------- | --------------------- |
| a pooling layer is made without arguments, so that none can have weights of C channels | embedding_head.py:60  |
| a wrong MODEL.BACKBONE.FEAT_DIM is an error of a batch norm or matrix product          | embedding_head.py:113 |
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fastreid.modeling.heads.embedding_head import EmbeddingHead
from torch import Tensor, nn

from fastreid_projects.modeling.pooling import ChannelPooling, other_channels

_MARK = "_fastreid_projects_pooling"


def patch_heads() -> None:
    """Let ``EmbeddingHead`` and its subclasses tell a :class:`ChannelPooling` its channels, and check them."""
    if hasattr(EmbeddingHead, _MARK):
        return
    setattr(EmbeddingHead, _MARK, True)
    init = EmbeddingHead.__init__

    @functools.wraps(init)
    def init_with_channels(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if isinstance(self.pool_layer, ChannelPooling):
            self.pool_layer.build(_pooled_channels(self))

    EmbeddingHead.__init__ = init_with_channels
    EmbeddingHead.forward = _naming_channels(EmbeddingHead.forward)


def _naming_channels(forward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(forward)
    def wrapped(self: Any, features: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The head's output.

        Raises:
            ConfigError: the maps have other channels than ``MODEL.BACKBONE.FEAT_DIM``.
        """
        try:
            return forward(self, features, *args, **kwargs)
        except RuntimeError as error:
            expected, found = _pooled_channels(self), features.shape[1]
            if found == expected:
                found = self.pool_layer(features).shape[1]
            if found == expected:
                raise
            giver = f"the backbone with {type(self.pool_layer).__name__}"
            raise other_channels(expected, giver, found) from error

    return wrapped


def _pooled_channels(head: Any) -> int:
    """What the neck's convolution takes in, or the classifier where the neck keeps the size."""
    first = next(iter(head.bottleneck), None)
    return int(first.in_channels if isinstance(first, nn.Conv2d) else head.weight.shape[1])
