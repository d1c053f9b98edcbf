"""Patches of how the host's architectures preprocess a batch (modeling/meta_arch/*.py)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from fastreid.modeling.meta_arch import baseline, distiller, mgn
from torch import Tensor

from fastreid_projects.modeling.batch import move_batch
from fastreid_projects.modeling.unlabelled import known_targets

# The branch whose map each of MGN's heads takes, which part of it and of how many; in the order of the losses.
_MGN_HEADS = {
    "b1": ("b1", 0, 1),
    "b2": ("b2", 0, 1),
    "b21": ("b2", 0, 2),
    "b22": ("b2", 1, 2),
    "b3": ("b3", 0, 1),
    "b31": ("b3", 0, 3),
    "b32": ("b3", 1, 3),
    "b33": ("b3", 2, 3),
}
_MGN_FEATURE = ("b1", "b2", "b3", "b21", "b22", "b31", "b32", "b33")


def patch_preprocess() -> None:
    """Normalise out of place, move batches to the model's device, and do not ask for the values of targets."""
    for arch in (baseline.Baseline, mgn.MGN):
        arch.preprocess_image = preprocess_image
    baseline.Baseline.forward, mgn.MGN.forward = baseline_forward, mgn_forward
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


def baseline_forward(self: Any, batched_inputs: Any) -> Any:
    """Return losses in training, features in evaluation.

    baseline.py:110 asks whether the sum of the targets is negative, which on a GPU waits for the whole backbone.
    """
    maps = self.backbone(self.preprocess_image(batched_inputs))
    if not self.training:
        return self.heads(maps)
    targets = known_targets(batched_inputs["targets"])
    return self.losses(self.heads(maps, targets), targets)


def mgn_forward(self: Any, batched_inputs: Any) -> Any:
    """Return losses in training, features in evaluation; mgn.py:215 asks as baseline.py:110 does."""
    maps = self.backbone(self.preprocess_image(batched_inputs))
    branches = {name: getattr(self, name)(maps) for name in ("b1", "b2", "b3")}
    inputs = {
        head: branches[branch].chunk(parts, dim=2)[part] for head, (branch, part, parts) in _MGN_HEADS.items()
    }
    heads = {head: getattr(self, f"{head}_head") for head in inputs}
    if not self.training:
        return torch.cat([heads[head](inputs[head]) for head in _MGN_FEATURE], dim=1)
    targets = known_targets(batched_inputs["targets"])
    return self.losses(*(heads[head](inputs[head], targets) for head in inputs), targets)


def _with_moved_batch(forward: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @functools.wraps(forward)
    def wrapped(self: Any, batched_inputs: Any) -> Any:
        return forward(self, move_batch(batched_inputs, self.device))

    return wrapped
