"""Pooling layers that ``MODEL.HEADS.POOL_LAYER`` can name in addition to the host's seven."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import Tensor, nn

from fastreid_projects.errors import ConfigError, name_taken

HOST_POOLING = (
    "Identity",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GeneralizedMeanPooling",
    "GeneralizedMeanPoolingP",
    "FastGlobalAvgPool",
    "AdaptiveAvgMaxPool",
    "ClipGlobalAvgPool",
)  # layers/pooling.py
_P = TypeVar("_P", bound=type[nn.Module])


class ChannelPooling(nn.Module):
    """A pooling layer with weights, created without arguments, as the host does, and given its channels afterwards.

    Any of the host's heads calls :meth:`build` on it (see :mod:`fastreid_projects.host.modeling.heads`).
    """

    def build(self, channels: int) -> None:
        """Create the weights for maps with this number of channels."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        """Pool: (N, C, H, W) -> (N, C, 1, 1)."""
        raise NotImplementedError


POOLING: dict[str, type[nn.Module]] = {}


def register_pooling(cls: _P) -> _P:
    """Register a pooling layer (class decorator), so that ``MODEL.HEADS.POOL_LAYER`` can name it; names are unique."""
    if cls.__name__ in POOLING or cls.__name__ in HOST_POOLING:
        raise name_taken("pooling layer", cls.__name__, POOLING.get(cls.__name__, "fastreid.layers.pooling"))
    POOLING[cls.__name__] = cls
    return cls


@register_pooling
class ClassTokenPooling(nn.Module):
    """Use a vision transformer's class token as the feature: its backbone then returns that instead of its patches.

    The backbones of timm check for this name; FastReID's ViT always returns its class token.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return the class token (N, C, 1, 1) unchanged.

        Raises:
            ConfigError: the backbone returns a map.
        """
        if features.shape[-2:] != (1, 1):
            raise ConfigError(
                "MODEL.HEADS.POOL_LAYER ClassTokenPooling needs a backbone with a class token, a vision transformer: "
                f"this one returns a map of {features.shape[-2]} x {features.shape[-1]}; use GlobalAvgPool"
            )
        return features


def pooling_layers() -> dict[str, type[nn.Module]]:
    """Return all pooling layers by name: the host's, those added to its module, and those registered here."""
    from fastreid.layers import pooling

    host = {k: v for k, v in vars(pooling).items() if isinstance(v, type) and issubclass(v, nn.Module)}
    return {**host, **POOLING}


def refuse_pooling(cfg: Any, instead: str) -> None:
    """Refuse a ``MODEL.HEADS.POOL_LAYER`` that an architecture would ignore.

    Args:
        cfg: the config.
        instead: how the architecture pools, for the message.

    Raises:
        ConfigError: the key is not the host's default.
    """
    if cfg.MODEL.HEADS.POOL_LAYER != "GlobalAvgPool":
        raise ConfigError(
            f"MODEL.HEADS.POOL_LAYER {cfg.MODEL.HEADS.POOL_LAYER} contradicts {instead}; leave "
            "MODEL.HEADS.POOL_LAYER out"
        )


def check_channels(maps: Tensor, expected: int) -> None:
    """Check that the backbone's map (N, C, H, W) has as many channels as a head was built for.

    Raises:
        ConfigError: the number differs from ``MODEL.BACKBONE.FEAT_DIM``.
    """
    if maps.shape[1] != expected:
        raise other_channels(expected, "the backbone", maps.shape[1])


def other_channels(expected: int, giver: str, found: int) -> ConfigError:
    return ConfigError(
        f"MODEL.BACKBONE.FEAT_DIM is {expected}, but {giver} has {found} channels: set "
        f"MODEL.BACKBONE.FEAT_DIM {found}, or change the backbone's DEPTH."
    )
