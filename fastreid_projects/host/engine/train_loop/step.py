"""Patches of a training step (engine/train_loop.py): losses that cannot be trained, and mixed precision."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from fastreid.engine import train_loop
from fastreid.utils import comm
from fastreid.utils.events import get_event_storage
from fastreid.utils.params import ContiguousParams
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from fastreid_projects.errors import TrainingError
from fastreid_projects.files import replacing
from fastreid_projects.host.engine.train_loop.amp import autocast_of
from fastreid_projects.host.utils.events import Waiting, put_numbers, take_waiting
from fastreid_projects.modeling.batch import split_batch

logger = logging.getLogger("fastreid.projects.host.step")

SHOWN_IMAGES = 3


def patch_step() -> None:
    """Replace the step of both trainers.

    * train_loop.py:280-297 checks the losses only on the main process, so that a NaN on another process leaves
      the others waiting; it reads them on a stream that does not wait for them, and fails if the processes
      have different losses.
    * train_loop.py:335-340 uses the deprecated ``torch.cuda.amp``, and fails without CUDA.
    """
    trainer = train_loop.SimpleTrainer
    trainer.accumulation = 1  # TRAINING.ACCUMULATION
    trainer.output_dir = ""  # OUTPUT_DIR, for a batch with losses that are not finite
    trainer.grad_scaler = None  # AMPTrainer has one
    trainer.iter = 0  # before the loop counts it
    trainer.run_step = run_step
    trainer._write_metrics = write_metrics
    train_loop.AMPTrainer.run_step = run_step


class LossValues(dict[str, Tensor]):
    """The losses of a step by name, while their values are copied to the CPU.

    Created right after the forward pass, it does not wait for the backward pass that is queued behind it.

    Args:
        losses: name -> scalar tensor.
        batch: the batch of the losses, for error messages.
        waiting: what else the step has put in its storage; transferred together with the losses.

    Raises:
        TrainingError: there is no loss, or a loss is not a scalar tensor.
    """

    def __init__(
        self, losses: Mapping[str, Tensor], batch: Any = None, waiting: Sequence[Waiting] = ()
    ) -> None:
        super().__init__(losses)
        self.batch, self.waiting = batch, waiting
        if not losses:
            raise TrainingError("The model does not compute a loss: name at least one in MODEL.LOSSES.NAME.")
        for name, loss in losses.items():
            if not isinstance(loss, Tensor) or loss.dim() != 0:
                shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise TrainingError(
                    f"Loss {name} must be a scalar tensor, not {shape}: reduce it in the model."
                )
        values = torch.stack(
            [loss.detach().double() for loss in losses.values()] + [w.value for w in waiting]
        )
        self._ready: torch.cuda.Event | None = None
        self._values = values
        if values.is_cuda:
            self._copy_aside(values)

    def _copy_aside(self, values: Tensor) -> None:
        stream = _side_stream(values.device)
        stream.wait_stream(torch.cuda.current_stream(values.device))
        with torch.cuda.stream(stream):
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            values.record_stream(stream)
            self._ready = stream.record_event()

    @property
    def paths(self) -> list[str]:
        """The paths of the batch's images."""
        return list(self.batch.get("img_paths") or ()) if isinstance(self.batch, Mapping) else []

    def numbers(self) -> dict[str, float]:
        """Wait for the values, put those that the storage waits for there, and return the losses by name."""
        if self._ready is not None:
            self._ready.synchronize()
        numbers = self._values.tolist()
        if self.waiting:
            put_numbers(get_event_storage(), self.waiting, numbers[len(self) :])
            self.waiting = ()
        return dict(zip(self, numbers, strict=False))


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def run_step(self: Any) -> None:
    """Train on one batch, in parts if ``accumulation`` says so; with a gradient scaler, in mixed precision.

    The losses of all processes are checked before any weight changes.
    """
    assert self.model.training, f"[{type(self).__name__}] model was changed to eval mode!"
    start = time.perf_counter()
    data = next(self._data_loader_iter)
    data_time = time.perf_counter() - start

    scaler: Any = self.grad_scaler
    mixed = scaler is not None and scaler.is_enabled()
    parts = split_batch(data, self.accumulation)
    self.optimizer.zero_grad()
    computed: list[LossValues] = []
    for part in parts:
        last = len(computed) + 1 == len(parts)
        with contextlib.nullcontext() if last else _own_gradients(self.model):
            with autocast_of(self):
                loss_dict = self.model(part)
                losses = sum(loss_dict.values())
            computed.append(LossValues(loss_dict, part, take_waiting(get_event_storage())))
            losses = losses / len(parts)
            (scaler.scale(losses) if mixed else losses).backward()
    self._write_metrics(computed[0] if len(parts) == 1 else _mean(computed, data), data_time)
    if mixed:
        scaler.step(self.optimizer)
        scaler.update()
    else:
        self.optimizer.step()
    if isinstance(self.param_wrapper, ContiguousParams):
        self.param_wrapper.assert_buffer_is_valid()


def _own_gradients(model: Any) -> contextlib.AbstractContextManager[Any]:
    """Let a process sum gradients for itself; those of the last part are averaged over all processes with them."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else contextlib.nullcontext()


def _mean(computed: list[LossValues], batch: Any) -> LossValues:
    """Return the losses of a batch that was trained in parts."""
    names = computed[0].keys()
    means = {name: torch.stack([part[name].detach() for part in computed]).mean() for name in names}
    return LossValues(means, batch, [number for part in computed for number in part.waiting])


def write_metrics(self: Any, loss_dict: dict[str, Tensor], data_time: float) -> None:
    """Log the losses, averaged over the processes that have them.

    Raises:
        TrainingError: a loss of any process is not finite. The error is raised on every process; the affected processes
            save their batch as ``OUTPUT_DIR/nan_batch.pth``, or ``nan_batch_<rank>.pth`` on other ranks than 0.
    """
    values = loss_dict if isinstance(loss_dict, LossValues) else LossValues(loss_dict)
    numbers = values.numbers()
    finite = all(math.isfinite(number) for number in numbers.values())
    if not finite:
        save_batch(self, values, numbers)
    shared = comm.all_gather((numbers, data_time, [] if finite else values.paths[:SHOWN_IMAGES]))
    for rank, (losses, _, paths) in enumerate(shared):
        place = rank if len(shared) > 1 else None
        check_finite(losses, self.iter, paths, place, batch_file(self, rank))
    if not comm.is_main_process():
        return
    names = dict.fromkeys(name for losses, _, _ in shared for name in losses)
    means = {
        name: float(np.mean([losses[name] for losses, _, _ in shared if name in losses])) for name in names
    }
    storage = get_event_storage()
    storage.put_scalar("data_time", max(seconds for _, seconds, _ in shared))
    storage.put_scalar("total_loss", sum(means.values()))
    if len(means) > 1:
        storage.put_scalars(**means)


def check_finite(
    losses: Mapping[str, float],
    iteration: int,
    paths: Sequence[str] = (),
    rank: int | None = None,
    saved: str = "",
) -> None:
    """Raise TrainingError if a loss is NaN or infinite.

    Args:
        losses: name -> value.
        iteration: the number of the iteration.
        paths: the paths of some images of the batch.
        rank: the rank of the process that computed the losses; None if there is only one.
        saved: the file that the batch was saved to.
    """
    broken = [f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value)]
    if broken:
        place = f" on rank {rank}" if rank is not None else ""
        images = f" (images {', '.join(paths)}, ...)" if paths else ""
        batch = f", the batch is saved as {saved}" if os.path.isfile(saved) else ""
        raise TrainingError(
            f"{', '.join(broken)} at iteration {iteration}{place}{images}{batch}: lower SOLVER.BASE_LR, lengthen "
            "SOLVER.WARMUP_ITERS, or set SOLVER.AMP.ENABLED False."
        )


def batch_file(trainer: Any, rank: int) -> str:
    """Return the file to which a process saves a batch with losses that are not finite; "" without an OUTPUT_DIR."""
    name = f"nan_batch_{rank}.pth" if rank else "nan_batch.pth"
    return os.path.join(trainer.output_dir, name) if trainer.output_dir else ""


def save_batch(trainer: Any, values: LossValues, numbers: Mapping[str, float]) -> None:
    """Save the batch, its losses and the iteration; a failure to do so must not hide why training stops."""
    path = batch_file(trainer, comm.get_rank())
    if not path:
        return
    content = {"batch": values.batch, "losses": dict(numbers), "iteration": trainer.iter}
    try:
        with replacing(path) as file:
            torch.save(content, file)
    except RuntimeError as error:
        logger.warning(f"The batch could not be saved: {error}")
