"""Activation checkpointing: a residual block keeps only its input and is recomputed in the backward pass."""

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
    """Make every block of the model's stages recompute its activations in the backward pass.

    Losses, gradients and running statistics do not change, and nothing is different without gradients. A block is a
    member of an ``nn.Sequential`` that has children itself.

    Raises:
        ConfigError: the model has no blocks.
    """
    found = list(_blocks(model))
    if not found:
        raise ConfigError(
            "MODEL.BACKBONE.ACTIVATION_CHECKPOINTING is for models made of blocks, such as ResNets; set it to False"
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
    """Update running statistics only in copies that are discarded, as the first pass has already updated them."""
    kept = [(module, dict(module._buffers)) for module in block.modules() if module._buffers]
    for module, buffers in kept:
        copies = {name: None if value is None else value.clone() for name, value in buffers.items()}
        module._buffers.update(copies)
    try:
        yield
    finally:
        for module, buffers in kept:
            module._buffers.update(buffers)
