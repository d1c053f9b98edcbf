"""Patch of modeling/meta_arch/build.py: a model on a device that exists, with the stem that the config names."""

from __future__ import annotations

from typing import Any

import torch
from fastreid.modeling.meta_arch import build as host_build

from fastreid_projects.config.ready import on_this_machine
from fastreid_projects.host_import import rebind
from fastreid_projects.modeling.stem import pad_stem

_host_build_model = host_build.build_model


def build_model(cfg: Any) -> torch.nn.Module:
    """Build the model of ``cfg.MODEL.META_ARCHITECTURE`` on a device that exists (meta_arch/build.py:21).

    ``MODEL.BACKBONE.PADDED_STEM``, if the config has it, gives a ResNet the stem of torchvision.
    """
    model = _host_build_model(on_this_machine(cfg))
    return pad_stem(model) if cfg.MODEL.BACKBONE.get("PADDED_STEM", False) else model


def patch_build_model() -> None:
    """Replace the builder wherever it was imported."""
    rebind(_host_build_model, build_model)
