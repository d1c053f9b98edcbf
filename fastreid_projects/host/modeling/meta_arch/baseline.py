"""Patches of how the host's architectures preprocess a batch (modeling/meta_arch/*.py)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fastreid.modeling.meta_arch import baseline, distiller, mgn
from torch import Tensor

from fastreid_projects.modeling.batch import move_batch


def patch_preprocess() -> None:
    """Normalise out of place, and move batches to the model's device."""
    for arch in (baseline.Baseline, mgn.MGN):
        arch.preprocess_image = preprocess_image
    for arch in (baseline.Baseline, mgn.MGN, distiller.Distiller):
        arch.forward = _with_moved_batch(arch.forward)


def preprocess_image(self: Any, batched_inputs: dict[str, Any] | Tensor) -> Tensor:
    """Return the normalised images (B, 3, H, W) on the model's device; the caller's tensor does not change.

    baseline.py:130 and mgn.py:256 normalise in place, so that TEST.FLIP (evaluation/evaluator.py:120) and
    every second forward pass of a batch normalise twice.
    """
    if isinstance(batched_inputs, dict):
        images = batched_inputs["images"]
    elif isinstance(batched_inputs, Tensor):
        images = batched_inputs
    else:
        raise TypeError(f"batched_inputs must be dict or torch.Tensor, but got {type(batched_inputs)}")
    return images.to(self.device, non_blocking=True).sub(self.pixel_mean).div_(self.pixel_std)


def _with_moved_batch(forward: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @functools.wraps(forward)
    def wrapped(self: Any, batched_inputs: Any) -> Any:
        return forward(self, move_batch(batched_inputs, self.device))

    return wrapped
