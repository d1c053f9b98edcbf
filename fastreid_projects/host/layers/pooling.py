"""Patch of layers/pooling.py: the host looks a pooling layer up in this module (embedding_head.py:58).

A plug-in has no way to add one; here :data:`~fastreid_projects.modeling.pooling.POOLING` is asked for what the module
does not hold.
"""

from __future__ import annotations

from typing import Any

from fastreid.layers import pooling

from fastreid_projects.modeling.pooling import POOLING


def patch_pooling() -> None:
    """Let the module find registered layers."""
    pooling.__getattr__ = registered_layer


def registered_layer(name: str) -> Any:
    """Return the registered layer of this name; called for names that the module does not hold."""
    if name in POOLING:
        return POOLING[name]
    raise AttributeError(f"there is no pooling layer {name}")
