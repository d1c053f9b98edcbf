"""Activation checkpointing: a residual block keeps its input alone and is computed again in the backward pass."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from fastreid_projects.errors import ConfigError


def checkpoint_activations(model: nn.Module) -> None:
    """Let every block of the model's stages be computed again for its gradient.

    Losses, gradients and running statistics stay what they were; without gradients nothing changes. A block is a member
    of an ``nn.Sequential`` that itself has parts.

    Raises:
        ConfigError: the model has no blocks.
    """
    found = list(_blocks(model))
    if not found:
        raise ConfigError(
            "MODEL.BACKBONE.ACTIVATION_CHECKPOINTING is for models of blocks, as ResNets are; this model has none"
        )
    for block in found:
        block.forward = functools.partial(_recomputed, block, type(block).forward)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        in_stage = isinstance(module, nn.Sequential) and not isinstance(child, nn.Sequential)
        if in_stage and next(child.children(), None) is not None:
            yield child
        else:
            yield from _blocks(child)


def _recomputed(block: nn.Module, forward: Callable[..., Any], *inputs: Any) -> Any:
    if not (torch.is_grad_enabled() and block.training):
        return forward(block, *inputs)
    contexts = lambda: (contextlib.nullcontext(), _still_statistics(block))  # noqa: E731
    return checkpoint(forward, block, *inputs, use_reentrant=False, context_fn=contexts)


@contextlib.contextmanager
def _still_statistics(block: nn.Module) -> Iterator[None]:
    """Let running statistics move in copies, which are thrown away: the first pass has moved them."""
    kept = [(module, dict(module._buffers)) for module in block.modules() if module._buffers]
    for module, buffers in kept:
        copies = {name: None if value is None else value.clone() for name, value in buffers.items()}
        module._buffers.update(copies)
    try:
        yield
    finally:
        for module, buffers in kept:
            module._buffers.update(buffers)
