"""Patch of modeling/heads/embedding_head.py.

| host's defect                                                                          | where                 |
| -------------------------------------------------------------------------------------- | --------------------- |
| a pooling layer is created without arguments, so that it cannot have weights for C channels | embedding_head.py:60  |
| a wrong MODEL.BACKBONE.FEAT_DIM causes an error in a batch norm or matrix product           | embedding_head.py:113 |
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
    """Let ``EmbeddingHead`` and its subclasses give a :class:`ChannelPooling` its channels, and check them."""
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
        """Return the output of the head.

        Raises:
            ConfigError: the number of channels differs from ``MODEL.BACKBONE.FEAT_DIM``.
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
    """Return the input channels of the neck's convolution, or those of the classifier if the neck keeps the size."""
    first = next(iter(head.bottleneck), None)
    return int(first.in_channels if isinstance(first, nn.Conv2d) else head.weight.shape[1])
