"""Patches of the host's checkpoints (``utils/checkpoint.py``).

| host's defect                                                               | line     |
| --------------------------------------------------------------------------- | -------- |
| a missing file is an AssertionError, a truncated one a RuntimeError         | 128, 216 |
| files with numpy values fail; others are advised to execute code            | 216      |
| weights without the key "model" are a KeyError                              | 225      |
| weights of another model load "successfully", only a log line says so       | 244      |
| weights of FastReID before 2021, and of other projects, are not recognised  | 225      |
| each evaluation warns of the classifier that it does not need               | 258      |
| optimizer state of another model fails, or only in the first step           | 142      |
| a schedule continues with the checkpoint's constants, whatever the config says | 142    |
| a damaged ``last_checkpoint`` is a UnicodeDecodeError, an empty one a folder | 153      |
| a full disk leaves a broken checkpoint, which ``last_checkpoint`` points to | 101      |
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

import torch
from fastreid.config.defaults import _C
from fastreid.utils import checkpoint

from fastreid_projects.checkpoints.dialects import in_own_names
from fastreid_projects.checkpoints.matching import (
    check_weights,
    require_whole,
    summarize_match,
)
from fastreid_projects.checkpoints.training_state import restore_states
from fastreid_projects.checkpoints.weights import folder_named, load_safely, tensors_of
from fastreid_projects.errors import WeightsError
from fastreid_projects.files import replacing

BEST = "model_best"
FINAL = "model_final"
ALONE = "model_alone"  # in a checkpoint from which no run can be resumed


def patch_checkpoint() -> None:
    """Patch the host's Checkpointer once: safe loading, clear errors, no silent mismatch, atomic saving."""
    from fastreid.utils.checkpoint import Checkpointer

    if "KEEP_CHECKPOINTS" not in _C.SOLVER:
        # False: a run keeps only its newest checkpoint and, once it is finished, only the model without the optimizer,
        # which is a third of the size and cannot be trained further.
        _C.SOLVER.KEEP_CHECKPOINTS = True
    if hasattr(Checkpointer, "patched"):
        return
    Checkpointer.patched = True
    Checkpointer.keeps_all = True  # SOLVER.KEEP_CHECKPOINTS
    Checkpointer.classes = None  # of the model, set by callers that need a completely trained one
    Checkpointer.loading_path = "given"
    Checkpointer.load = _patched_load(Checkpointer.load)
    Checkpointer._load_model = _patched_load_model(Checkpointer._load_model)
    Checkpointer._load_file = _load_file
    Checkpointer._log_incompatible_keys = _patched_log(Checkpointer._log_incompatible_keys)
    Checkpointer.get_checkpoint_file = _get_checkpoint_file
    Checkpointer.save = _save
    Checkpointer.tag_last_checkpoint = _tag_last_checkpoint
    checkpoint.PeriodicCheckpointer.keeps_all = True
    checkpoint.PeriodicCheckpointer.__init__ = checkpointer_init
    checkpoint.PeriodicCheckpointer.step = checkpointer_step


def _get_checkpoint_file(self: Any) -> str:
    """Return the path of the newest checkpoint; "" if there is none.

    Raises:
        WeightsError: ``last_checkpoint`` does not hold the name of a file.
    """
    path = os.path.join(self.save_dir, "last_checkpoint")
    try:
        with open(path, "rb") as file:
            name = file.read().decode().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        name = ""
    if not name or not name.isprintable():
        raise WeightsError(
            f"{path} is damaged and does not name a checkpoint: write the name of one of the .pth files beside it "
            "into it, or start again without --resume."
        )
    return os.path.join(self.save_dir, name)


def _load_file(self: Any, f: str) -> dict[str, Any]:
    """Load a checkpoint; a file of bare or differently wrapped weights becomes ``{"model": weights}``."""
    content = load_safely(f)
    self.loading_path = f
    weights = tensors_of(content, f)
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        return {**content, "model": weights}
    return {"model": weights}


def _patched_load_model(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def load_model(self: Any, checkpoint: dict[str, Any]) -> Any:
        """Load the weights if they belong to this model; see :func:`check_weights`."""
        weights, project = in_own_names(self.model.state_dict(), checkpoint["model"], self.model)
        checkpoint["model"] = weights
        if project:
            self.logger.info(f"The weights have the names of {project}: they are renamed")
        self.logger.info(summarize_match(self.model.state_dict(), weights))
        check_weights(self.model, weights, self.loading_path)
        if self.classes is not None:
            require_whole(self.model, weights, self.loading_path, self.classes)
        return original(self, checkpoint)

    return load_model


def _patched_log(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def log_incompatible_keys(self: Any, incompatible: Any) -> None:
        """Warn of possible mistakes; a classifier with other classes just belongs to another training set."""
        classifiers = [
            (name, there, here)
            for name, there, here in incompatible.incorrect_shapes
            if there[1:] == here[1:]
        ]
        for name, there, here in classifiers:
            if self.classes is None:  # the model is to be trained; otherwise its classifier is not used
                self.logger.info(f"{name} is not loaded: {here[0]} classes here, {there[0]} in the file")
        others = [shapes for shapes in incompatible.incorrect_shapes if shapes not in classifiers]
        original(self, incompatible._replace(incorrect_shapes=others))

    return log_incompatible_keys


def _patched_load(original: Callable[..., Any]) -> Callable[..., Any]:
    def load(self: Any, path: str, checkpointables: Iterable[str] | None = None) -> Any:
        """Load a checkpoint, with the arguments and the result of the host's method.

        Raises:
            WeightsError: the file is missing or unusable, belongs to another model, or its training state does not fit.
        """
        if path and os.path.isdir(path):
            raise WeightsError(folder_named(path))
        if path and not os.path.isfile(path) and not _handled(self, path):
            raise WeightsError(
                f"The weights file '{path}' does not exist: name a local file as MODEL.WEIGHTS; to resume, "
                "the file named in OUTPUT_DIR/last_checkpoint must exist."
            )
        checkpoint = original(self, path, checkpointables=[])
        wanted = self.checkpointables if checkpointables is None else checkpointables
        states = {name: checkpoint.pop(name) for name in wanted if name in checkpoint}
        if states:
            self.logger.info(f"Loading {', '.join(states)} from {path}")
        restore_states(self.checkpointables, states, path)
        return checkpoint

    return load


def _handled(checkpointer: Any, path: str) -> bool:
    """Return whether one of the host's path handlers turns this path into a local file."""
    try:
        return os.path.isfile(checkpointer.path_manager.get_local_path(path))
    except OSError:
        return False


def _save(self: Any, name: str, **kwargs: Any) -> None:
    """Save model and checkpointables as ``<name>.pth``: write a temporary file and rename it.

    ``model_best`` is for tests and therefore saved without the training state, which is twice as large as the model;
    with SOLVER.KEEP_CHECKPOINTS False, so is ``model_final``.

    Args:
        self: the host's Checkpointer.
        name: the file name without its suffix.
        **kwargs: other values to save.

    Raises:
        WeightsError: the file cannot be written, e.g. on a full disk; an older file of that name stays.
    """
    if not self.save_dir or not self.save_to_disk:
        return
    data = {"model": self.model.state_dict()}
    if name == FINAL and not self.keeps_all:
        data[ALONE] = True
    elif name != BEST:
        data.update({key: target.state_dict() for key, target in self.checkpointables.items()})
    data.update(kwargs)
    path = os.path.join(self.save_dir, f"{name}.pth")
    self.logger.info(f"Saving checkpoint to {path}")
    _write(path, lambda file: torch.save(data, file))
    if name != BEST:  # after a kill before the epoch's own checkpoint, --resume must not take it for that
        self.tag_last_checkpoint(os.path.basename(path))


def _tag_last_checkpoint(self: Any, last_filename_basename: str) -> None:
    """Write the name of the newest checkpoint, from which ``--resume`` continues."""
    path = os.path.join(self.save_dir, "last_checkpoint")
    _write(path, lambda file: file.write(last_filename_basename.encode()))


def _write(path: str, write: Callable[[IO[bytes]], Any]) -> None:
    try:
        with replacing(path, sync=True) as file:
            write(file)
    except RuntimeError as error:  # raised by PyTorch if it cannot write; DataError is one, too
        reason = error.__cause__ or error.__context__ or error  # PyTorch hides the OSError behind it
        raise WeightsError(
            f"The checkpoint '{path}' could not be written ({reason}), the last complete one is "
            "untouched: make room or set another OUTPUT_DIR, then use --resume."
        ) from error


_host_checkpointer_init = checkpoint.PeriodicCheckpointer.__init__


_host_checkpointer_step = checkpoint.PeriodicCheckpointer.step


@functools.wraps(_host_checkpointer_init)
def checkpointer_init(self: Any, checkpointer: Any, period: int, max_epoch: int | None = None) -> None:
    """Save only after the last epoch if SOLVER.CHECKPOINT_PERIOD is 0 (checkpoint.py:331)."""
    _host_checkpointer_init(self, checkpointer, int(period) or sys.maxsize, max_epoch)


@functools.wraps(_host_checkpointer_step)
def checkpointer_step(self: Any, epoch: int, **kwargs: Any) -> None:
    """Save the best of the evaluated models, and write its metric into each checkpoint.

    checkpoint.py:331 looks at the metric only when a checkpoint is due, and :317 keeps the best only in memory.
    """
    metric = kwargs.get("metric", -1)
    state = {**kwargs, "best_metric": max(self.best_metric, metric)}
    due = (epoch + 1) % self.period == 0 or epoch >= self.max_epoch - 1
    if metric > self.best_metric and not due:
        self.checkpointer.save(BEST, epoch=epoch, **state)
        self.best_metric = metric
    _host_checkpointer_step(self, epoch, **state)
    if due and not self.keeps_all:
        remove_older(self.checkpointer)


def remove_older(checkpointer: Any) -> None:
    """Remove the checkpoints of epochs and interrupts before the newest one, which ``last_checkpoint`` names."""
    newest = checkpointer.get_checkpoint_file()
    if not (checkpointer.save_to_disk and os.path.isfile(newest)):
        return
    for name in os.listdir(checkpointer.save_dir):
        path = os.path.join(checkpointer.save_dir, name)
        if re.fullmatch(r"model_(\d{4,}|interrupted)\.pth", name) and path != newest:
            os.remove(path)


def best_since(checkpoint: str) -> float:
    """Return the metric of a ``model_best.pth`` that was saved after a checkpoint; -1 if there is none.

    Args:
        checkpoint: the path of the checkpoint to resume from.
    """
    best = os.path.join(os.path.dirname(checkpoint), f"{BEST}.pth")
    if not os.path.isfile(best) or os.path.getmtime(best) <= os.path.getmtime(checkpoint):
        return -1
    return float(load_safely(best).get("metric", -1))
