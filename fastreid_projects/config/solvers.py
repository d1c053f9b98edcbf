"""Optimizers and schedules that a config may name."""

from __future__ import annotations

import torch
from fastreid.solver import optim as host_optim

# These wrap another optimizer, or cannot be built from (dense) parameter groups of any shape.
UNUSABLE = ("Optimizer", "SWA", "LBFGS", "SparseAdam", "Muon")


SCHEDULES = ("MultiStepLR", "CosineAnnealingLR")


def optimizer_names() -> list[str]:
    """Return the values that SOLVER.OPT may have: PyTorch's optimizers and the host's own (Lamb)."""
    return sorted(
        name
        for name, value in vars(host_optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and name not in UNUSABLE
    )
