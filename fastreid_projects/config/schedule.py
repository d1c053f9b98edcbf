"""The epochs after which a schedule of steps lowers the learning rate."""

from __future__ import annotations

import logging
from typing import Any

from fastreid_projects.errors import ConfigError

logger = logging.getLogger("fastreid.projects.config")

HOST_STEPS = [30, 55]  # fastreid/config/defaults.py:260, the steps of a config that does not set any


def warmup_iterations(solver: Any, iters_per_epoch: int) -> int:
    """Return the length of the warm-up: SOLVER.WARMUP_EPOCHS, or SOLVER.WARMUP_ITERS if that is 0."""
    return solver.WARMUP_EPOCHS * iters_per_epoch or solver.WARMUP_ITERS


def first_counted_epoch(solver: Any, iters_per_epoch: int = 0) -> int:
    """Return the index of the first epoch that the schedule counts.

    The host (engine/hooks.py:263) counts an epoch if the warm-up and SOLVER.DELAY_EPOCHS are over at its end;
    SOLVER.STEPS are therefore epochs after the warm-up, not epochs since the start of training.

    Args:
        solver: ``cfg.SOLVER``.
        iters_per_epoch: iterations of an epoch; 0 if the training set is not known yet, in which case a warm-up that is
            given in iterations is ignored.
    """
    warmup = solver.WARMUP_EPOCHS
    if not warmup and iters_per_epoch:
        warmup = -(-solver.WARMUP_ITERS // iters_per_epoch)
    return int(max(warmup - 1, solver.DELAY_EPOCHS, 0))


def drop_epochs(solver: Any, iters_per_epoch: int = 0) -> list[int]:
    """Return for each of SOLVER.STEPS the number of trained epochs after which it lowers the learning rate.

    Args:
        solver: ``cfg.SOLVER``.
        iters_per_epoch: see :func:`first_counted_epoch`.
    """
    first = first_counted_epoch(solver, iters_per_epoch)
    return [first + step for step in solver.STEPS]


def check_steps(solver: Any, iters_per_epoch: int = 0) -> None:
    """Refuse a step that would come after the end of training; only warn if the steps are the host's defaults.

    Raises:
        ConfigError: one of SOLVER.STEPS has no effect, or the warm-up is given both in epochs and in iterations.
    """
    if solver.WARMUP_EPOCHS and solver.WARMUP_ITERS:
        raise ConfigError(
            f"SOLVER.WARMUP_EPOCHS {solver.WARMUP_EPOCHS} and SOLVER.WARMUP_ITERS {solver.WARMUP_ITERS} both give the "
            "length of the warm-up: set one of them to 0."
        )
    drops = drop_epochs(solver, iters_per_epoch)
    late = [step for step, drop in zip(solver.STEPS, drops, strict=True) if drop >= solver.MAX_EPOCH]
    if solver.SCHED != "MultiStepLR" or not late:
        return
    sentence = (
        f"SOLVER.STEPS {list(solver.STEPS)}: {_list(late)} would lower the learning rate after "
        f"{_list([drop for drop in drops if drop >= solver.MAX_EPOCH])} epochs, but the training ends after "
        f"SOLVER.MAX_EPOCH {solver.MAX_EPOCH} (of the epochs in the warm-up only the last one counts): set "
        f'SOLVER.STEPS "{[step for step in solver.STEPS if step not in late]}", a shorter warm-up or more epochs.'
    )
    if list(solver.STEPS) == HOST_STEPS:
        logger.warning("%s", sentence)
        return
    raise ConfigError(sentence)


def _list(numbers: list[int]) -> str:
    return " and ".join(map(str, numbers))
