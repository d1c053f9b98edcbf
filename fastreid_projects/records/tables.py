"""Result tables from run records; a number without a record is not printed."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from fastreid_projects.errors import DataError

Record = dict[str, Any]


def read_record(path: str | Path) -> Record:
    """Read a ``run.json``, given by its path or its folder.

    Raises:
        DataError: there is none, or it is not a run record.
    """
    path = Path(path)
    path = path / "run.json" if path.is_dir() else path
    record = _read(path, "name the OUTPUT_DIR of a finished run")
    for key, kind in (("metrics", Mapping), ("seconds", (int, float)), ("commit", str)):
        if not isinstance(record.get(key), kind):
            raise DataError(f"{path} is not a run record: it has no {key}")
    for name, value in flat_metrics(record).items():
        if not isinstance(value, (int, float)):
            raise DataError(f"{path} is not a run record: its metric {name} is {value!r}, not a number")
    return record


def read_runs(path: str | Path) -> Record | list[Record]:
    """Read the record of a run, or the records of all seeds if the folder was written with ``--seeds``.

    Raises:
        DataError: see :func:`read_record`.
    """
    index = Path(path) / "seeds.json"
    if not index.is_file():
        return read_record(path)
    runs = _read(index, "").get("runs", {})
    return [read_record(Path(path) / folder) for folder in runs.values()]


def _read(path: Path, hint: str) -> Record:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: {hint}") from None
    except ValueError as error:
        raise DataError(f"{path} is not a run record: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{path} is not a run record: it has no metrics")
    return record


def flat_metrics(record: Record) -> dict[str, float]:
    """Return the metrics of a record by name; by ``dataset/name`` if there were several test sets."""
    flat: dict[str, float] = {}
    for name, value in record["metrics"].items():
        if isinstance(value, Mapping):
            flat.update({f"{name}/{inner}": v for inner, v in value.items() if v is not None})
        elif value is not None:
            flat[name] = value
    return flat


def spread(records: Sequence[Record]) -> dict[str, tuple[float, float | None]]:
    """Return mean and standard deviation (of a sample, n - 1; None for one record) of the metrics in all records."""
    flat = [flat_metrics(record) for record in records]
    result = {}
    for name in flat[0]:
        values = [metrics[name] for metrics in flat if name in metrics]
        if len(values) == len(flat):
            result[name] = (statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)
    return result


def markdown_table(records: Sequence[tuple[str, Record | list[Record]]], metrics: Sequence[str] = ()) -> str:
    """Return a table with one row for each record: its name, its metrics in per cent, minutes and commit.

    Args:
        records: (name, record), or (name, records of the same config with other seeds) for cells with
            mean ± standard deviation.
        metrics: the metrics to show, in order; by default all of the first row.

    Returns:
        A Markdown table; "-" stands for a metric that a record does not have.

    Raises:
        DataError: no record has a named metric.
    """
    groups = [(name, group if isinstance(group, list) else [group]) for name, group in records]
    names = list(metrics) or list(spread(groups[0][1]))
    known = list(dict.fromkeys(name for _, group in groups for name in spread(group)))
    for name in metrics:
        if name not in known:
            raise DataError(f"no run has the metric '{name}'; known are {', '.join(known)}")
    rows = []
    for label, group in groups:
        values = spread(group)
        shown = [_cell(values.get(name)) for name in names]
        minutes = sum(total_seconds(record) for record in group) / 60
        commits = dict.fromkeys(record["commit"] or "-" for record in group)
        rows.append([label, *shown, f"{minutes:.1f}", ", ".join(commits)])
    return tabulate(
        rows, headers=["run", *names, "minutes", "commit"], tablefmt="pipe", disable_numparse=True
    )


def _cell(value: tuple[float, float | None] | None) -> str:
    if value is None:
        return "-"
    mean, std = value
    return f"{mean:.2f}" if std is None else f"{mean:.2f} ± {std:.2f}"


def total_seconds(record: dict[str, Any]) -> float:
    """Return the seconds of a run with all its stages; those of the training run if the record is an evaluation's."""
    run = record.get("training") or record
    return run["seconds"] + sum(stage.get("seconds", 0) for stage in run.get("stages", ()))
