"""The device to run on: that of the config on a machine with a CUDA device, the CPU on any other."""

from __future__ import annotations

import functools
import logging
from typing import Any

import torch
import torch.distributed as dist

logger = logging.getLogger("fastreid.projects.host.device")

AMP_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
NO_AMP = "SOLVER.AMP.ENABLED has no effect on the CPU, which only has SOLVER.AMP.DTYPE bfloat16: computing in float32."


@functools.cache
def warn_once(message: str) -> None:
    """Log a warning, but each message only once."""
    logger.warning(message)


def resolve_device(cfg: Any) -> Any:
    """Return the config without what this machine cannot do; the same object if nothing changes.

    MODEL.DEVICE ``cuda`` becomes ``cpu`` without a CUDA device, and SOLVER.AMP in float16 is switched off on the CPU,
    where engine/train_loop.py:335 would stop the run. The log says each once. If there are several processes, each has
    its own device: ``cuda:1`` becomes ``cuda``.
    """
    no_cuda = str(cfg.MODEL.DEVICE).startswith("cuda") and not torch.cuda.is_available()
    device = "cpu" if no_cuda else str(cfg.MODEL.DEVICE)
    no_amp = cfg.SOLVER.AMP.ENABLED and cfg.SOLVER.AMP.DTYPE != "bfloat16" and not device.startswith("cuda")
    no_number = device.startswith("cuda:") and dist.is_initialized() and dist.get_world_size() > 1
    if not (no_cuda or no_amp or no_number):
        return cfg
    frozen = cfg.is_frozen()
    cfg = cfg.clone()
    cfg.defrost()
    if no_cuda:
        warn_once(f"MODEL.DEVICE is '{cfg.MODEL.DEVICE}' but there is no CUDA device: running on the CPU.")
        cfg.MODEL.DEVICE = "cpu"
    if no_number:
        cfg.MODEL.DEVICE = "cuda"
    if no_amp:
        warn_once(NO_AMP)
        cfg.SOLVER.AMP.ENABLED = False
    if frozen:
        cfg.freeze()
    return cfg
