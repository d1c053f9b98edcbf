"""Mends of how the host's architectures take a batch (modeling/meta_arch/*.py)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from fastreid.modeling.meta_arch import baseline, distiller, mgn
from fastreid.modeling.meta_arch import build as host_build
from torch import Tensor

from fastreid_projects.host.device import resolve_device
from fastreid_projects.host.imports import rebind
from fastreid_projects.host.stem import pad_stem

_host_build_model = host_build.build_model


def mend_preprocess() -> None:
    """Normalise out of place, bring batches to the model's device, and build them where they can run."""
    for arch in (baseline.Baseline, mgn.MGN):
        arch.preprocess_image = preprocess_image
    for arch in (baseline.Baseline, mgn.MGN, distiller.Distiller):
        arch.forward = _with_moved_batch(arch.forward)
    rebind(_host_build_model, build_model)


def build_model(cfg: Any) -> torch.nn.Module:
    """Build the model of ``cfg.MODEL.META_ARCHITECTURE`` on a device that exists (meta_arch/build.py:21).

    ``MODEL.BACKBONE.PADDED_STEM``, where the config has it, gives a ResNet torchvision's stem.
    """
    model = _host_build_model(resolve_device(cfg))
    return pad_stem(model) if cfg.MODEL.BACKBONE.get("PADDED_STEM", False) else model


def preprocess_image(self: Any, batched_inputs: dict[str, Any] | Tensor) -> Tensor:
    """Return the normalised images (B, 3, H, W) on the model's device; the caller's tensor is left as it is.

    baseline.py:130 and mgn.py:256 normalise in place, so that TEST.FLIP (evaluation/evaluator.py:120) and
    every second forward of a batch normalise twice.
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


def move_batch(batch: Any, device: torch.device) -> Any:
    """Return the batch with its tensors on ``device``.

    The targets are copied in any case: baseline.py:109 and mgn.py:199 set negative ones to zero in place.
    """
    if not isinstance(batch, dict):
        return batch
    moved = {
        key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for key, value in batch.items()
    }
    if moved.get("targets") is not None and moved["targets"] is batch["targets"]:
        moved["targets"] = batch["targets"].clone()
    return moved
