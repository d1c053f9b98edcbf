"""Result tables from run records: a number without a record is not printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from fastreid_projects.errors import DataError


def read_record(path: str | Path) -> dict[str, Any]:
    """Read a ``run.json``, or that of a run's folder.

    Raises:
        DataError: there is none, or it is no record.
    """
    path = Path(path)
    path = path / "run.json" if path.is_dir() else path
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: name a run's OUTPUT_DIR that was run to its end") from None
    except ValueError as error:
        raise DataError(f"{path} is no run record: {error}") from error
    if not isinstance(record, dict) or "metrics" not in record:
        raise DataError(f"{path} is no run record: it has no metrics")
    return record


def markdown_table(records: Sequence[tuple[str, dict[str, Any]]], metrics: Sequence[str] = ()) -> str:
    """One row per record: its name, its metrics in per cent, minutes and commit.

    Args:
        records: (name, record).
        metrics: which metrics, in which order; all of the first record by default.

    Returns:
        A Markdown table; a metric that a record does not have is "-".
    """
    names = list(metrics) or [name for name, value in records[0][1]["metrics"].items() if value is not None]
    rows = []
    for label, record in records:
        values = [record["metrics"].get(name) for name in names]
        shown = ["-" if value is None else f"{value:.2f}" for value in values]
        rows.append([label, *shown, f"{record['seconds'] / 60:.1f}", record["commit"] or "-"])
    return tabulate(
        rows, headers=["run", *names, "minutes", "commit"], tablefmt="pipe", disable_numparse=True
    )
