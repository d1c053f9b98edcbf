"""A check of the first update in training: do the weights that should move move, and do the others stay?"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from fastreid.engine.train_loop import HookBase
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fastreid_projects.contract import moves_without_gradient
from fastreid_projects.errors import TrainingError

# The number of steps without any gradient (a pair loss without pairs) that are tolerated.
PATIENCE = 50
_INTEGER = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_SHOWN = 5


class UpdateCheck(HookBase):
    """Raise TrainingError if the first update moves no trainable weight, moves a frozen one, or cannot reach one that
    has a gradient.

    On PyTorch 2, FastReID itself silently trains nothing (solver/build.py:180); such a run must never again seem to
    work. Steps that cannot move anything are skipped: a learning rate of 0 at the start of the warm-up, a step that
    the gradient scaler leaves out, or no gradient at all.

    Weights are compared by a sum over their bits, so that the model does not have to be copied.

    Args:
        frozen_layers: ``MODEL.FREEZE_LAYERS``.
        freeze_iters: the number of iterations for which these layers stay frozen.
    """

    def __init__(self, frozen_layers: Iterable[str] = (), freeze_iters: int = 0) -> None:
        self._frozen_layers = tuple(f"{layer}." for layer in frozen_layers)
        self._freeze_iters = freeze_iters
        self._before: dict[str, int] | None = None
        self._scale = 0.0
        self._waited = 0
        self.done = False

    def before_step(self) -> None:
        """Compute the sums before a step that can move weights."""
        self._before = None
        if self.done or not any(group["lr"] > 0 for group in self.trainer.optimizer.param_groups):
            return
        self._scale = self._current_scale()
        self._before = _bit_sums(_watched(self.trainer.model))

    def after_step(self) -> None:
        """Compare the sums."""
        if self._before is None or self._current_scale() < self._scale:
            return
        parameters = _watched(self.trainer.model)
        sums = _bit_sums(parameters)
        moved = {name for name, value in sums.items() if self._before.get(name) != value}
        self._before = None
        kept = self._frozen_layers if self.trainer.iter < self._freeze_iters else ()
        frozen = [name for name in moved if name.startswith(kept) or not parameters[name].requires_grad]
        if frozen:
            raise TrainingError(
                f"The update of iteration {self.trainer.iter} changed frozen weights ({_some(frozen)}): set "
                "moves_without_gradient = True on their module if this is meant."
            )
        if moved:
            self._check_reach(parameters)
            self.done = True
            return
        self._wait(parameters)

    def _check_reach(self, parameters: dict[str, nn.Parameter]) -> None:
        """Raise TrainingError if the optimizer lacks a trainable weight that has a gradient."""
        held = {p for group in self.trainer.optimizer.param_groups for p in group["params"]}
        lost = [n for n, p in parameters.items() if p.requires_grad and p not in held and _is_pulled(p)]
        if lost:
            raise TrainingError(
                f"The optimizer does not hold {len(lost)} trainable weights that have a gradient ({_some(lost)}), so "
                "that they never change: add them to it, or set their requires_grad to False if this is intended."
            )

    def _wait(self, parameters: dict[str, nn.Parameter]) -> None:
        """Handle a step in which nothing moved: raise TrainingError, unless there was no gradient."""
        self._waited += 1
        free = self._frozen_for_now()
        trained = {name: p for name, p in parameters.items() if p.requires_grad and p not in free}
        pulled = [name for name, p in trained.items() if _is_pulled(p)]
        if pulled:
            raise TrainingError(
                f"The update of iteration {self.trainer.iter} moved none of the {len(pulled)} trainable "
                f"weights that have a gradient ({_some(pulled)}): check that the optimizer holds the model's "
                f"own parameters and that SOLVER.BASE_LR is not too small."
            )
        if self._waited >= PATIENCE:
            raise TrainingError(
                f"No trainable weight got a gradient in {PATIENCE} steps: check MODEL.LOSSES.NAME and the "
                "batches."
            )

    def _frozen_for_now(self) -> set[Tensor]:
        """Return the parameters that MODEL.FREEZE_LAYERS freezes for SOLVER.FREEZE_ITERS."""
        groups = self.trainer.optimizer.param_groups
        return {p for group in groups if group.get("freeze_status") == "freeze" for p in group["params"]}

    def _current_scale(self) -> float:
        scaler = self.trainer.grad_scaler
        return scaler.get_scale() if scaler is not None else 0.0


def _watched(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters by name, without those that move by themselves."""
    model = model.module if isinstance(model, DistributedDataParallel) else model
    own = {
        parameter
        for module in model.modules()
        if moves_without_gradient(module)
        for parameter in module.parameters()
    }
    return {name: p for name, p in model.named_parameters() if p not in own}


@torch.no_grad()
def _bit_sums(parameters: dict[str, nn.Parameter]) -> dict[str, int]:
    """Sum the bits of each parameter as integers, gathered by device, so that each device is waited for only once."""
    sums: dict[str, int] = {}
    by_device: dict[torch.device, list[str]] = {}
    for name, parameter in parameters.items():
        by_device.setdefault(parameter.device, []).append(name)
    for names in by_device.values():
        totals = [_bits(parameters[name]).sum(dtype=torch.int64) for name in names]
        sums.update(zip(names, torch.stack(totals).tolist(), strict=True))
    return sums


def _bits(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor.view(_INTEGER[tensor.element_size()]) if tensor.element_size() in _INTEGER else tensor


def _is_pulled(parameter: Tensor) -> bool:
    return parameter.grad is not None and bool(parameter.grad.any())


def _some(names: list[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
