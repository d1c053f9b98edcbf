"""Patch of utils/events.py: what is printed of a short run."""

from __future__ import annotations

import functools
from typing import Any

from fastreid.utils import events

_host_printer_write = events.CommonMetricPrinter.write


@functools.wraps(_host_printer_write)
def printer_write(self: Any) -> None:
    """Print each iteration once; in runs of 1 or 2 a second call divides by 0 (events.py:220)."""
    storage = events.get_event_storage()
    if (
        self._last_write is not None
        and self._last_write[0] == storage.iter
        and "time" not in storage.histories()
    ):
        return
    _host_printer_write(self)


def patch_events() -> None:
    """Patch the printer in place."""
    events.CommonMetricPrinter.write = printer_write
