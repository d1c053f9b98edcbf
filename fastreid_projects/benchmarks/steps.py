"""One training step of a model, to be timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from fastreid.utils.events import EventStorage
from torch import nn


def plain_step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """Return a function that goes forward and backward through the model and updates it once.

    Args:
        model: a host batch -> losses by name.
        batch: always the same.
        optimizer: of the model's parameters.
    """

    def run() -> None:
        with EventStorage(0):
            loss = sum(model(batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run
