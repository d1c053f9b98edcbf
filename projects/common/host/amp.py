"""Mends of the host's mixed-precision trainer (engine/train_loop.py:302-330); its step is in step.py."""

from __future__ import annotations

from typing import Any

import torch
from fastreid.engine import train_loop

from fastreid_projects.host.device import NO_AMP, warn_once

_host_amp_init = train_loop.AMPTrainer.__init__


def mend_amp() -> None:
    """Replace the constructor of the trainer; train_loop.py:322 makes a scaler of the deprecated kind."""
    train_loop.AMPTrainer.__init__ = amp_init


def amp_init(
    self: Any, model: Any, data_loader: Any, optimizer: Any, param_wrapper: Any, grad_scaler: Any = None
) -> None:
    """Make the scaler of today's PyTorch; on the CPU it is disabled, and training goes on in float32."""
    if grad_scaler is None:
        on_cuda = next(model.parameters()).is_cuda
        if not on_cuda:
            warn_once(NO_AMP)
        grad_scaler = torch.amp.GradScaler("cuda", enabled=on_cuda)
    _host_amp_init(self, model, data_loader, optimizer, param_wrapper, grad_scaler)
