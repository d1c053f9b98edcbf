"""A look at the first update of a training: do the weights that should move, move, and the others not?"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from fastreid.engine.train_loop import HookBase
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fastreid_projects.contract import moves_without_gradient
from fastreid_projects.errors import TrainingError

# So many steps without any gradient (a pair loss without pairs) are let pass.
PATIENCE = 50
_INTEGER = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_SHOWN = 5


class UpdateCheck(HookBase):
    """Raise TrainingError where the first update leaves all trainable weights as they are, changes a frozen one, or
    cannot reach one that has a gradient.

    On PyTorch 2 FastReID itself trains nothing and says nothing (solver/build.py:180); a training whose
    weights do not move must never again look alive. Steps that cannot move anything are skipped: a learning
    rate of 0 at the beginning of the warm-up, a step that the gradient scaler leaves out, no gradient at all.

    Weights are compared by a sum over their bits, so that no copy of the model is kept.

    Args:
        frozen_layers: ``MODEL.FREEZE_LAYERS``.
        freeze_iters: for how many iterations these stay frozen.
    """

    def __init__(self, frozen_layers: Iterable[str] = (), freeze_iters: int = 0) -> None:
        self._frozen_layers = tuple(f"{layer}." for layer in frozen_layers)
        self._freeze_iters = freeze_iters
        self._before: dict[str, int] | None = None
        self._scale = 0.0
        self._waited = 0
        self.done = False

    def before_step(self) -> None:
        """Take the sums where this step can move weights."""
        self._before = None
        if self.done or not any(group["lr"] > 0 for group in self.trainer.optimizer.param_groups):
            return
        self._scale = self._current_scale()
        self._before = _bit_sums(_watched(self.trainer.model))

    def after_step(self) -> None:
        """Compare."""
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
        """Raise where the optimizer does not hold a trainable weight that has a gradient."""
        held = {p for group in self.trainer.optimizer.param_groups for p in group["params"]}
        lost = [n for n, p in parameters.items() if p.requires_grad and p not in held and _is_pulled(p)]
        if lost:
            raise TrainingError(
                f"The optimizer does not hold {len(lost)} trainable weights that have a gradient ({_some(lost)}), so "
                "that they stay as they are: give them to it, or set their requires_grad False if this is meant."
            )

    def _wait(self, parameters: dict[str, nn.Parameter]) -> None:
        """Nothing moved: raise, unless there was nothing to move by."""
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
        """Parameters that MODEL.FREEZE_LAYERS keeps for SOLVER.FREEZE_ITERS."""
        groups = self.trainer.optimizer.param_groups
        return {p for group in groups if group.get("freeze_status") == "freeze" for p in group["params"]}

    def _current_scale(self) -> float:
        scaler = getattr(self.trainer, "grad_scaler", None)
        return scaler.get_scale() if scaler is not None else 0.0


def _watched(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters by name, without those that move by themselves."""
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
    """Sum each parameter's bits as integers; gathered by device, so that each device is waited for once."""
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
