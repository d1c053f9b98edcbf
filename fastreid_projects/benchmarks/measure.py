"""Measure time and peak memory of functions side by side in one process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from fastreid_projects.benchmarks.cost import Cost
from fastreid_projects.records.record import environment, write_record

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Measurement:
    """The time and memory of one function.

    Attributes:
        case: what is compared, e.g. ``"ranking"``.
        name: the alternative.
        seconds: the median time of a call.
        peak_mib: the peak memory above that before the call, in MiB, of the CUDA allocator on a GPU; None if unknown.
        ratio: how many times faster it is than the last function of the case.
        cost: parameters and operations, if it is a model.
    """

    case: str
    name: str
    seconds: float
    peak_mib: float | None
    ratio: float
    cost: Cost | None = None


def compare(
    case: str,
    functions: Sequence[tuple[str, Callable[[], Any]]],
    *,
    repeats: int = 5,
    device: str = "cpu",
    costs: Mapping[str, Cost] | None = None,
) -> list[Measurement]:
    """Measure functions in turn; the last one is the baseline of the others.

    Each runs once unmeasured; then rounds of all functions alternate, so that a busy moment of the machine affects all.
    """
    known = costs or {}
    peaks = {name: _peak(function, device) for name, function in functions}
    times: dict[str, list[float]] = {name: [] for name, _ in functions}
    for _ in range(repeats):
        for name, function in functions:
            times[name].append(_seconds(function, device))
    medians = {name: statistics.median(values) for name, values in times.items()}
    base = medians[functions[-1][0]]
    return [
        Measurement(case, name, medians[name], peaks[name], base / medians[name], known.get(name))
        for name, _ in functions
    ]


def report(measurements: Sequence[Measurement], path: str | Path) -> str:
    """Write the measurements with versions and hardware as JSON, and return them as a table."""
    write_record(path, {**environment(), "measurements": [asdict(m) for m in measurements]})
    table = measurement_table(measurements)
    costs = {m.name: m.cost for m in measurements if m.cost is not None}
    if not costs:
        return table
    counted = [(name, cost.parameters / 1e6, cost.flops / 1e9) for name, cost in costs.items()]
    headers = ["model", "million parameters", "GFLOPs an image"]
    return f"{table}\n\n" + tabulate(counted, headers=headers, tablefmt="pipe", floatfmt=".2f")


def measurement_table(measurements: Sequence[Measurement]) -> str:
    """Return measurements as a Markdown table."""
    rows = [(m.case, m.name, m.seconds, m.peak_mib, m.ratio) for m in measurements]
    headers = ["case", "way", "seconds", "peak MiB", "times faster"]
    return tabulate(rows, headers=headers, tablefmt="pipe", floatfmt=(None, None, ".4f", ".1f", ".2f"))


def count_processor_time() -> None:
    """Measure processor time of this process, which varies less than wall-clock time on a busy machine."""
    global _clock
    _clock = time.process_time


_clock: Callable[[], float] = time.perf_counter


def _seconds(function: Callable[[], Any], device: str) -> float:
    _synchronize(device)
    start = _clock()
    function()
    _synchronize(device)
    return _clock() - start


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _peak(function: Callable[[], Any], device: str) -> float | None:
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    _give_back()
    try:
        _CLEAR.write_text("5")  # Linux: forget the highest resident size so far
        before_kib = _status("VmRSS")
        function()
        return (_status("VmHWM") - before_kib) / 1024
    except OSError:
        function()
        return None


def _give_back() -> None:
    """Let the C library return free memory, as memory that is reused would not be measured."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _status(field: str) -> int:
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise OSError(f"{_STATUS} has no {field}")
