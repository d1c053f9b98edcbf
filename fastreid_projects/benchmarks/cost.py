"""Count a model's parameters and operations with PyTorch's counter."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """The cost of a model.

    Attributes:
        parameters: the number of all parameters; build the model with 0 classes to leave out its classifiers.
        flops: the operations for one image in evaluation, two for each multiplication with its addition; only
            convolutions and matrix products are counted, not elementwise operations.
    """

    parameters: int
    flops: int


def model_cost(model: nn.Module, size: tuple[int, int]) -> Cost:
    """Count the cost of a model of this project for an image of (height, width), without changing its mode."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, *size, device=device))
    model.train(training)
    return Cost(sum(p.numel() for p in model.parameters()), int(counter.get_total_flops()))
