"""Patches of utils/events.py: short runs are printed, and the last evaluation is written."""

from __future__ import annotations

import functools
import json
import os
from typing import Any

from fastreid.utils import events

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


def patch_events() -> None:
    """Patch the writers in place."""
    events.CommonMetricPrinter.write = printer_write
    events.JSONWriter.write = json_write
    events.TensorboardXWriter.write = tensorboard_write
