"""Patches of utils/events.py: steps do not wait for a GPU, and short runs and last evaluations are written."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from fastreid.utils import events
from torch import Tensor

_host_put_scalar = events.EventStorage.put_scalar
_READERS = ("history", "histories", "latest", "latest_with_smoothing_hint")
_host_printer_write = events.CommonMetricPrinter.write
_host_tensorboard_write = events.TensorboardXWriter.write


@functools.wraps(_host_printer_write)
def printer_write(self: Any) -> None:
    """Print each iteration once; in a run of 1 or 2 iterations, a second call divides by 0 (events.py:220)."""
    iteration = events.get_event_storage().iter
    if vars(self).get("_printed") != iteration:
        self._printed = iteration
        _host_printer_write(self)


def fresh_scalars(writer: Any, storage: Any) -> dict[int, dict[str, float]]:
    """Return the values that a writer has not written yet, by iteration and name, and mark them as written.

    events.py:104 and 148 keep one number for all names, so that values put after the line of their iteration was
    written, such as the metrics of an evaluation at the end of an epoch, are never written.

    Args:
        writer: a writer with ``_window_size``, the window over which losses are smoothed.
        storage: the host's EventStorage.
    """
    written: dict[str, int] = vars(writer).setdefault("_written", {})
    found: dict[int, dict[str, float]] = {}
    for name, (value, iteration) in storage.latest_with_smoothing_hint(writer._window_size).items():
        if iteration > written.get(name, -1):
            written[name] = iteration
            found.setdefault(iteration, {})[name] = value
    return dict(sorted(found.items()))


def json_write(self: Any) -> None:
    """Write a line for each iteration that has new values."""
    for iteration, scalars in fresh_scalars(self, events.get_event_storage()).items():
        line = json.dumps({**scalars, "iteration": iteration}, sort_keys=True)
        self._file_handle.write(line + "\n")
    self._file_handle.flush()
    os.fsync(self._file_handle.fileno())


@functools.wraps(_host_tensorboard_write)
def tensorboard_write(self: Any) -> None:
    """Write new scalars, and leave images and histograms to the host."""
    storage = events.get_event_storage()
    for iteration, scalars in fresh_scalars(self, storage).items():
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, iteration)
    self._last_write = storage.iter
    _host_tensorboard_write(self)


class Waiting(NamedTuple):
    """A number of a step that is on a GPU.

    Attributes:
        name: its name with the prefix.
        value: a scalar.
        iteration: the iteration that it belongs to.
        smoothed: whether writers smooth it.
    """

    name: str
    value: Tensor
    iteration: int
    smoothed: bool


@functools.wraps(_host_put_scalar)
def put_scalar(self: Any, name: str, value: Any, smoothing_hint: bool = True) -> None:
    """Keep a number on the GPU until it is read; events.py:304 waits for it in the middle of the step."""
    if not isinstance(value, Tensor) or not is_far(value):
        _host_put_scalar(self, name, value, smoothing_hint)
        return
    number = value.detach().double().reshape(())
    waiting = Waiting(self._current_prefix + name, number, self._iter, smoothing_hint)
    vars(self).setdefault("_waiting", []).append(waiting)


def is_far(value: Tensor) -> bool:
    """Return whether reading the value has to wait for a GPU."""
    return value.is_cuda


def take_waiting(storage: Any) -> list[Waiting]:
    """Take the numbers that are still on a GPU out of the storage; the caller passes them to :func:`put_numbers`."""
    taken: list[Waiting] = vars(storage).pop("_waiting", [])
    return taken


def put_numbers(storage: Any, waiting: Sequence[Waiting], numbers: Sequence[float]) -> None:
    """Write numbers that have arrived from the GPU, each to its iteration."""
    place = storage._iter, storage._current_prefix
    try:
        storage._current_prefix = ""
        for (name, _, storage._iter, smoothed), number in zip(waiting, numbers, strict=True):
            _host_put_scalar(storage, name, number, smoothed)
    finally:
        storage._iter, storage._current_prefix = place


def _after_waiting(name: str) -> Any:
    reader = getattr(events.EventStorage, name)

    @functools.wraps(reader)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        waiting = take_waiting(self)
        if waiting:
            put_numbers(self, waiting, torch.stack([entry.value for entry in waiting]).tolist())
        return reader(self, *args, **kwargs)

    return wrapped


def patch_events() -> None:
    """Patch the storage and the writers in place."""
    events.EventStorage.put_scalar = put_scalar
    for name in _READERS:
        setattr(events.EventStorage, name, _after_waiting(name))
    events.CommonMetricPrinter.write = printer_write
    events.JSONWriter.write = json_write
    events.TensorboardXWriter.write = tensorboard_write
