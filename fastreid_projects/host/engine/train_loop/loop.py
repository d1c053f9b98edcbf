"""The training loop (engine/train_loop.py:112-146), which can start and stop within an epoch."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from fastreid.engine import hooks, train_loop
from fastreid.utils import comm
from fastreid.utils.events import EventStorage

from fastreid_projects import interrupts
from fastreid_projects.data.batches import NumberedBatches
from fastreid_projects.errors import InterruptedRunError

logger = logging.getLogger("fastreid.engine.train_loop")

INTERRUPTED = "model_interrupted"


class Progress:
    """The progress of a training run, which each checkpoint holds.

    Args:
        trainer: the host's DefaultTrainer.

    Attributes:
        done: the number of finished iterations.
        hooks_done: the number of finished hooks at the end of the present epoch.
    """

    def __init__(self, trainer: Any) -> None:
        batches = getattr(trainer._trainer.data_loader, "batch_sampler", None)
        if not isinstance(batches, NumberedBatches):  # a user's own loader, which starts where it likes
            batches = SimpleNamespace(seed=comm.shared_random_seed(), start=0)
        self._batches: Any = batches
        self._per_epoch = trainer.iters_per_epoch
        self.done = 0
        self.hooks_done = 0

    @property
    def seed(self) -> int:
        """The seed from which all random numbers of the run follow."""
        return int(self._batches.seed)

    def state_dict(self) -> dict[str, int]:
        """Return the state for a checkpoint."""
        return {"seed": self.seed, "iteration": self.done, "iterations_per_epoch": self._per_epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from a checkpoint; if the length of an epoch has changed, from the start of the epoch."""
        self._batches.seed = state["seed"]
        self.done = state["iteration"] if state["iterations_per_epoch"] == self._per_epoch else 0

    def start_from(self, epoch: int, hooks_done: int) -> None:
        """Set the iteration to start from.

        Args:
            epoch: the first epoch that is not or not completely done.
            hooks_done: the number of finished hooks of that epoch, if all its iterations are done.
        """
        first, last = epoch * self._per_epoch, (epoch + 1) * self._per_epoch
        self.done = self.done if first <= self.done <= last else first
        self.hooks_done = hooks_done if self.done == last else 0
        self._batches.start = self.done


def forget_later_lines(path: str, iteration: int) -> None:
    """Remove from the end of a ``metrics.json`` what will be trained again, and a line that a kill has cut off.

    Args:
        path: the file, to which the host continues to append (utils/events.py:95).
        iteration: the first iteration that will be trained.
    """
    if not os.path.isfile(path):
        return
    with open(path, "r+b") as file:
        lines = file.readlines()
        while lines and not _is_before(lines[-1], iteration):
            lines.pop()
        file.truncate(sum(map(len, lines)))


def _is_before(line: bytes, iteration: int) -> bool:
    try:
        return line.endswith(b"\n") and json.loads(line)["iteration"] < iteration
    except (ValueError, KeyError, TypeError):
        return False


def patch_loop() -> None:
    """Replace the loop and the end of an epoch."""
    train_loop.TrainerBase.train = train
    train_loop.TrainerBase.after_epoch = after_epoch


def train(self: Any, start_epoch: int, max_epoch: int, iters_per_epoch: int) -> None:
    """Train from ``self.progress`` to the end.

    Raises:
        InterruptedRunError: a signal came, and a checkpoint was saved.
    """
    logger.info(f"Starting training from epoch {start_epoch}")
    self.iter = self.start_iter = self.progress.done
    with EventStorage(max(self.iter - 1, 0)) as self.storage, interrupts.waiting():
        try:
            self.before_train()
            for self.epoch in range(start_epoch, max_epoch):
                self.before_epoch()
                while self.iter < (self.epoch + 1) * iters_per_epoch:
                    _train_step(self)
                    _stop_if_requested(self, self.epoch - 1)
                self.after_epoch()
                _stop_if_requested(self, self.epoch)
        except interrupts.StopNow:
            save_interrupted(self, self.epoch - 1, hooks_done=self.progress.hooks_done)
        except InterruptedRunError:
            raise
        except Exception as error:
            if interrupts.requested() and "DataLoader worker" in str(
                error
            ):  # the signal also ended the worker
                place = f"Interrupted in iteration {self.iter}, which cannot be finished"
                raise interrupts.interrupted(f"{place}: the last checkpoint is used") from None
            logger.exception("Exception during training:")
            raise
        finally:
            self.after_train()


def _train_step(self: Any) -> None:
    self.before_step()
    self.run_step()
    self.after_step()
    self.iter += 1
    self.progress.done = self.iter


def _stop_if_requested(self: Any, epoch: int) -> None:
    """Save a checkpoint and stop if any process was asked to."""
    if any(comm.all_gather(interrupts.requested())):
        save_interrupted(self, epoch)


def after_epoch(self: Any) -> None:
    """Call the hooks, or those that are left if the epoch was interrupted."""
    first = self.progress.hooks_done
    for number in range(first, len(self._hooks)):
        self.progress.hooks_done = number
        self._hooks[number].after_epoch()
    self.progress.hooks_done = 0


def evaluation() -> contextlib.AbstractContextManager[None]:
    """Return a context that lets a signal stop an evaluation at its next batch, if no other process waits in it."""
    return interrupts.evaluating() if comm.get_world_size() == 1 else contextlib.nullcontext()


def save_interrupted(self: Any, epoch: int, hooks_done: int = 0) -> None:
    """Save a checkpoint, unless training is at its end and has already saved one.

    Args:
        self: the trainer.
        epoch: the last finished epoch, -1 for none.
        hooks_done: the number of finished hooks of the next epoch.

    Raises:
        InterruptedRunError: always; the message says how to resume.
    """
    place = f"Interrupted after iteration {self.iter} of {self.max_iter}"
    if epoch + 1 >= self.max_epoch:
        raise interrupts.interrupted(f"{place}, all weights are saved")
    path = _save_unfinished(self, epoch, hooks_done)
    comm.synchronize()  # the other processes stay while the first one writes
    raise interrupts.interrupted(f"{place}, saved as {path}")


@contextlib.contextmanager
def saved_where_it_fails(trainer: Any) -> Iterator[None]:
    """Save a checkpoint if an evaluation fails, as the checkpoint of the epoch comes later; ``--resume`` repeats it."""
    try:
        yield
    except InterruptedRunError:
        raise
    except Exception:
        path = _save_unfinished(trainer, trainer.epoch - 1, trainer.progress.hooks_done)
        logger.warning(
            "The evaluation failed; the weights are saved as %s, and --resume will evaluate them", path
        )
        raise


def _save_unfinished(trainer: Any, epoch: int, hooks_done: int) -> str:
    best = [hook.best_metric for hook in trainer._hooks if isinstance(hook, hooks.PeriodicCheckpointer)]
    trainer.checkpointer.save(
        INTERRUPTED, epoch=epoch, metric=-1, best_metric=max(best, default=-1), hooks_done=hooks_done
    )
    return f"{trainer.cfg.OUTPUT_DIR}/{INTERRUPTED}.pth"
