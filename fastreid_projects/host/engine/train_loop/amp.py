"""Patches of the host's mixed-precision trainer (engine/train_loop.py:302-330); its step is in step.py.

``SOLVER.AMP.DTYPE`` is float16, as in the host, or bfloat16, which has the range of float32 and needs no scaler. CPUs
only support bfloat16: with float16, a CPU trains in float32.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from fastreid.engine import train_loop

from fastreid_projects.device import AMP_DTYPES, NO_AMP, warn_once

_host_amp_init = train_loop.AMPTrainer.__init__


def patch_amp() -> None:
    """Replace the constructor of the trainer; train_loop.py:322 creates a scaler of the deprecated kind."""
    train_loop.SimpleTrainer.amp_dtype = None
    train_loop.AMPTrainer.__init__ = amp_init


def amp_init(
    self: Any, model: Any, data_loader: Any, optimizer: Any, param_wrapper: Any, grad_scaler: Any = None
) -> None:
    """Create a scaler of the present kind; on the CPU it is disabled."""
    if grad_scaler is None:
        grad_scaler = torch.amp.GradScaler("cuda", enabled=next(model.parameters()).is_cuda)
    _host_amp_init(self, model, data_loader, optimizer, param_wrapper, grad_scaler)
    self.amp_dtype = torch.float16


def set_amp_dtype(trainer: Any, name: str) -> None:
    """Let a trainer use ``SOLVER.AMP.DTYPE``; a trainer without mixed precision stays as it is."""
    if not isinstance(trainer, train_loop.AMPTrainer):
        return
    trainer.amp_dtype = AMP_DTYPES[name]
    if trainer.amp_dtype is torch.bfloat16:
        trainer.grad_scaler = torch.amp.GradScaler("cuda", enabled=False)


def autocast_of(trainer: Any) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which a trainer's forward pass runs."""
    dtype = trainer.amp_dtype
    if dtype is None:
        return contextlib.nullcontext()
    device = next(trainer.model.parameters()).device.type
    if device == "cpu" and dtype is torch.float16:
        warn_once(NO_AMP)
        return contextlib.nullcontext()
    return torch.autocast(device, dtype)
