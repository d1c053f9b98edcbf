"""Patch of layers/any_softmax.py: margin softmaxes that do not wait for a GPU.

any_softmax.py:37, 48 and 68 look for the targets that are not -1 by ``torch.where``, whose result has a size that only
the GPU knows. A comparison with the numbers of the classes gives the same logits.
"""

from __future__ import annotations

from typing import Any

import torch
from fastreid.layers import any_softmax
from torch import Tensor


def patch_softmax() -> None:
    """Replace ``forward`` of CosSoftmax, ArcSoftmax and CircleSoftmax; subclasses keep their own."""
    any_softmax.CosSoftmax.forward = cosine_logits
    any_softmax.ArcSoftmax.forward = arc_logits
    any_softmax.CircleSoftmax.forward = circle_logits


def own_class(logits: Tensor, targets: Tensor) -> Tensor:
    """Return where each image's own class is, (N, C) bool; nowhere for a target of -1.

    Args:
        logits: (N, C).
        targets: (N,), -1..C-1.
    """
    return targets.unsqueeze(1) == torch.arange(logits.shape[1], device=logits.device)


def cosine_logits(self: Any, logits: Tensor, targets: Tensor) -> Tensor:
    """Take the margin off the cosine of the own class (any_softmax.py:36)."""
    margins = own_class(logits, targets).to(logits.dtype).mul_(self.m)
    return logits.sub_(margins).mul_(self.s)


def arc_logits(self: Any, logits: Tensor, targets: Tensor) -> Tensor:
    """Add the margin to the angle of the own class (any_softmax.py:47)."""
    margins = own_class(logits, targets).to(logits.dtype).mul_(self.m)
    return logits.acos_().add_(margins).cos_().mul_(self.s)


def circle_logits(self: Any, logits: Tensor, targets: Tensor) -> Tensor:
    """Weigh each cosine by how far it is from its optimum (any_softmax.py:60)."""
    cosines = logits.detach()
    own = (1 + self.m - cosines).clamp_min(0.0) * (logits - (1 - self.m))
    other = (cosines + self.m).clamp_min(0.0) * (logits - self.m)
    return torch.where(own_class(logits, targets), own, other).mul(self.s)
