"""Patch of the host's norm layers: group norm (layers/batch_norm.py:203) fails if 32 does not divide the channels."""

from __future__ import annotations

import functools
from typing import Any

from fastreid.layers import batch_norm

from fastreid_projects.errors import ConfigError
from fastreid_projects.host_import import rebind

GROUPS = 32
_host_get_norm = batch_norm.get_norm


def patch_norms() -> None:
    """Replace the host's ``get_norm`` wherever it is imported."""
    rebind(_host_get_norm, get_norm)


@functools.wraps(_host_get_norm)
def get_norm(norm: Any, out_channels: int, **kwargs: Any) -> Any:
    """Build the host's norm layer.

    Raises:
        ConfigError: group norm is asked for, but the channels cannot be divided into 32 groups.
    """
    if norm == "GN" and out_channels % GROUPS:
        raise ConfigError(
            f"the norm GN has {GROUPS} groups, which a layer of {out_channels} channels cannot be divided into: set "
            f"MODEL.HEADS.NORM and MODEL.BACKBONE.NORM to BN, or MODEL.HEADS.EMBEDDING_DIM to a multiple of {GROUPS}."
        )
    return _host_get_norm(norm, out_channels, **kwargs)
