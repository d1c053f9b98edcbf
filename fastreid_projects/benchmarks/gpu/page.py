"""Write the page with the results of all parts, from their JSON files only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from fastreid_projects.benchmarks.gpu.parts import PARTS
from fastreid_projects.benchmarks.measure import Measurement, measurement_table
from fastreid_projects.files import write_aside
from fastreid_projects.records.record import environment

PAGE = "gpu.md"


def write_page(folder: str | Path) -> Path:
    """Write ``gpu.md`` from all ``<part>.json`` files in a folder; return its path."""
    folder = Path(folder)
    files = [folder / f"{name}.json" for name in PARTS]
    records = [json.loads(path.read_text(encoding="utf-8")) for path in files if path.is_file()]
    lines = ["# On a GPU", "", _where(records), "", _overview(records), ""]
    for record in records:
        lines += _section(record)
    return write_aside(folder / PAGE, "\n".join(lines).encode())


def _where(records: Sequence[dict[str, Any]]) -> str:
    """Return the machine and the versions."""
    found = environment()
    hardware = found["hardware"]
    card = ", ".join(hardware["gpus"]) or f"no GPU: {hardware['cpu']}"
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    tiny = " Tiny sizes, which only show that it runs." if any(record["quick"] for record in records) else ""
    return f"{card}; {hardware['cores']} CPU cores; {versions}; commit {found['commit'] or 'unknown'}.{tiny}"


def _overview(records: Sequence[dict[str, Any]]) -> str:
    rows = [(r["part"], r["state"], r["seconds"], r["limit"]) for r in records]
    headers = ["part", "result", "seconds", "limit"]
    return tabulate(rows, headers=headers, tablefmt="pipe", floatfmt=".0f")


def _section(record: dict[str, Any]) -> list[str]:
    results = record["results"]
    lines = [f"## {record['title']}", ""]
    if record["state"] != "finished":
        lines += [f"It {record['state']}. Its last line: `{record['said'] or 'nothing'}`", ""]
    if "measurements" in results:
        measured = [Measurement(**{**entry, "cost": None}) for entry in results["measurements"]]
        lines += [measurement_table(measured), ""]
    if "tests" in results:
        lines += [", ".join(f"{count} {kind}" for kind, count in results["tests"].items()) + ".", ""]
        lines += [f"- {name}" for name in results["failed"]] + [""] * bool(results["failed"])
    if "runs" in results:
        lines += [_runs(results["runs"]), ""]
    return lines


def _runs(runs: Sequence[dict[str, Any]]) -> str:
    names = (
        "paper",
        "seconds",
        "peak MiB",
        "mAP",
        "Rank-1",
        "moved weights",
        "moved by, of their length",
        "said",
    )
    rows = [[run.get(name) for name in names] for run in runs]
    return tabulate(rows, headers=names, tablefmt="pipe", floatfmt=".3g", missingval="")
