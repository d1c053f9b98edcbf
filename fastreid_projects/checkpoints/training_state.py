"""Restore the optimizer and the schedules of a checkpoint, but keep the constants of the config.

PyTorch's ``load_state_dict`` also restores the constants of a schedule and the options of an optimizer: a finished
cosine rises again if SOLVER.MAX_EPOCH is raised, and a changed SOLVER.STEPS or SOLVER.WEIGHT_DECAY has no effect. Here
the checkpoint says how far training has come, and the config how it continues.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from fastreid_projects.errors import WeightsError

logger = logging.getLogger("fastreid.projects.host.training_state")

_MOMENTS = {"momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "square_avg", "grad_avg", "sum"}
_PROGRESS = {"last_epoch", "_step_count", "_last_lr", "_is_initial", "_get_lr_called_within_step"}


def restore_states(targets: Mapping[str, Any], states: Mapping[str, Any], path: str) -> None:
    """Load each state into the target with its name.

    Optimizers keep the options of their groups, except for the learning rate. Schedules keep their constants; if these
    differ from the checkpoint's, the learning rate continues where the new schedule is at that time.

    Args:
        targets: name -> optimizer, schedule, or any object with ``load_state_dict``.
        states: name -> its state.
        path: the file, for error messages.

    Raises:
        WeightsError: a state does not fit its target.
    """
    changed = False
    for name, state in states.items():
        target = targets[name]
        try:
            if isinstance(target, torch.optim.Optimizer):
                _restore_optimizer(target, state)
            elif isinstance(target, LRScheduler):
                changed |= _restore_schedule(target, state, name)
            else:
                target.load_state_dict(state)
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise WeightsError(
                f"The state '{name}' in '{path}' does not fit this run ({error}): resume with the config of the "
                "earlier run, or start a new run from its weights with MODEL.WEIGHTS and without --resume."
            ) from error
    if changed:
        schedules = [targets[name] for name in states if isinstance(targets[name], LRScheduler)]
        for schedule in sorted(schedules, key=lambda one: not _is_warm_up(one)):
            _set_rates(schedule)


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: Any) -> None:
    """Load moments and learning rates.

    Raises:
        ValueError: they belong to another optimizer or have other shapes; torch would fail in step 1, or not at all.
    """
    own = [dict(group) for group in optimizer.param_groups]
    foreign = sorted(
        {option for group in state["param_groups"] for option in group} - {o for g in own for o in g}
    )
    if foreign:
        raise ValueError(f"it belongs to an optimizer other than SOLVER.OPT, with {', '.join(foreign)}")
    optimizer.load_state_dict(state)
    for group, before in zip(optimizer.param_groups, own, strict=True):
        group.update({option: before[option] for option in optimizer.defaults if option != "lr"})
    for parameter, moments in optimizer.state.items():
        for name in _MOMENTS & moments.keys():
            if moments[name] is not None and moments[name].shape != parameter.shape:
                shapes = f"{tuple(moments[name].shape)} for a parameter of {tuple(parameter.shape)}"
                raise ValueError(f"'{name}' is {shapes}")


def _restore_schedule(schedule: LRScheduler, state: Any, name: str) -> bool:
    """Load the progress of a schedule, and return whether its constants differ from the checkpoint's."""
    own = {option: value for option, value in schedule.state_dict().items() if option not in _PROGRESS}
    schedule.load_state_dict(state)
    if not _has_closed_form(schedule):
        return False
    changed = sorted(option for option, value in own.items() if option not in state or state[option] != value)
    schedule.__dict__.update(own)
    if changed:
        logger.warning(
            f"{name} continues by this config, which differs from the checkpoint's: {', '.join(changed)} changed"
        )
    return bool(changed)


def _is_warm_up(schedule: Any) -> bool:
    from fastreid.solver.lr_scheduler import WarmupLR  # here, as the host's patches import this module

    return isinstance(schedule, WarmupLR)


def _has_closed_form(schedule: LRScheduler) -> bool:
    return _is_warm_up(schedule) or hasattr(schedule, "_get_closed_form_lr")


def _set_rates(schedule: Any) -> None:
    """Set the learning rates of a schedule's present step; a schedule that waits for the warm-up sets none."""
    if not _has_closed_form(schedule) or not (schedule.last_epoch > 0 or _is_warm_up(schedule)):
        return
    rates = schedule.get_lr() if _is_warm_up(schedule) else schedule._get_closed_form_lr()
    for group, rate in zip(schedule.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    schedule._last_lr = list(rates)
