"""Pooling layers beyond the host's seven.

| host's defect                                                                             | where                |
| ----------------------------------------------------------------------------------------- | -------------------- |
| a pooling layer is made without arguments, so that none can have weights of C channels     | embedding_head.py:60 |
| pooling layers are the names of one module, which a plug-in has no way to add to           | embedding_head.py:58 |
| a wrong MODEL.BACKBONE.FEAT_DIM is an error of a batch norm or matrix product             | embedding_head.py:113 |
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from fastreid.layers import pooling
from fastreid.modeling.heads.embedding_head import EmbeddingHead
from torch import Tensor, nn

from fastreid_projects.errors import ConfigError

_P = TypeVar("_P", bound=type[nn.Module])
_MARK = "_fastreid_projects_pooling"


class ChannelPooling(nn.Module):
    """A pooling layer with weights: made without arguments, as the host does, and given its channels afterwards.

    Any of the host's heads calls :meth:`build` on it (see :func:`mend_heads`).
    """

    def build(self, channels: int) -> None:
        """Make the weights for maps of so many channels."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 1, 1)."""
        raise NotImplementedError


def register_pooling(cls: _P) -> _P:
    """Class decorator: a pooling layer that ``MODEL.HEADS.POOL_LAYER`` may name; a name taken twice is an error."""
    if hasattr(pooling, cls.__name__):
        raise ValueError(f"a pooling layer named {cls.__name__} is registered already")
    setattr(pooling, cls.__name__, cls)
    return cls


def refuse_pooling(cfg: Any, instead: str) -> None:
    """Refuse a ``MODEL.HEADS.POOL_LAYER`` that an architecture would not look at.

    Args:
        cfg: the config.
        instead: what it pools by, for the message.

    Raises:
        ConfigError: the key is not the host's default.
    """
    if cfg.MODEL.HEADS.POOL_LAYER != "GlobalAvgPool":
        raise ConfigError(
            f"MODEL.HEADS.POOL_LAYER {cfg.MODEL.HEADS.POOL_LAYER} contradicts {instead}; leave "
            "MODEL.HEADS.POOL_LAYER out"
        )


def check_channels(maps: Tensor, expected: int) -> None:
    """See that the backbone's map (N, C, H, W) has the channels that a head was built for.

    Raises:
        ConfigError: it has others than ``MODEL.BACKBONE.FEAT_DIM``.
    """
    if maps.shape[1] != expected:
        raise _other_channels(expected, "the backbone", maps.shape[1])


def _other_channels(expected: int, giver: str, found: int) -> ConfigError:
    return ConfigError(
        f"MODEL.BACKBONE.FEAT_DIM is {expected}, but {giver} gives {found} channels: set "
        f"MODEL.BACKBONE.FEAT_DIM {found}, or change the backbone's DEPTH."
    )


def mend_heads() -> None:
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
            raise _other_channels(expected, giver, found) from error

    return wrapped


def _pooled_channels(head: Any) -> int:
    """What the neck's convolution takes in, or the classifier where the neck keeps the size."""
    first = next(iter(head.bottleneck), None)
    return int(first.in_channels if isinstance(first, nn.Conv2d) else head.weight.shape[1])
