"""Patch of layers/pooling.py, the module in which the host looks up a pooling layer (embedding_head.py:58).

A plug-in cannot add a layer there; the patched module looks up missing names in
:data:`~fastreid_projects.modeling.pooling.POOLING`.
"""

from __future__ import annotations

from typing import Any

from fastreid.layers import pooling

from fastreid_projects.modeling.pooling import POOLING


def patch_pooling() -> None:
    """Let the module find registered layers."""
    pooling.__getattr__ = registered_layer


def registered_layer(name: str) -> Any:
    """Return the registered layer with this name; called for names that the module does not define."""
    if name in POOLING:
        return POOLING[name]
    raise AttributeError(f"there is no pooling layer {name}")
