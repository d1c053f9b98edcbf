"""One training step of a model, for timing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from fastreid.utils.events import EventStorage
from torch import nn


def plain_step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """Return a function that runs a forward and a backward pass and updates the model once.

    Args:
        model: a model that maps a host batch to losses by name.
        batch: the batch, always the same.
        optimizer: the optimizer of the model's parameters.
    """

    def run() -> None:
        with EventStorage(0):
            loss = sum(model(batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run
