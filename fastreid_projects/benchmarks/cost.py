"""Parameters and operations of a model, as PyTorch's own counter sees them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        parameters: all of them; build the model with no classes to leave its classifiers out.
        flops: of one image at evaluation, two for each multiplication with its addition; convolutions and matrix
            products are counted, elementwise operations are not.
    """

    parameters: int
    flops: int


def model_cost(model: nn.Module, size: tuple[int, int]) -> Cost:
    """Count a model of this project on an image of (height, width); its mode is left as it was."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, *size, device=device))
    model.train(training)
    return Cost(sum(p.numel() for p in model.parameters()), int(counter.get_total_flops()))
