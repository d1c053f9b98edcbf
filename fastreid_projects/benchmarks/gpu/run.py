"""Run the parts one after the other, each within its time limit; results so far are kept."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from fastreid_projects.benchmarks.gpu.page import write_page
from fastreid_projects.benchmarks.gpu.parts import Choice, Part
from fastreid_projects.interrupts import heeded
from fastreid_projects.records.record import write_record

logger = logging.getLogger("fastreid.projects.gpu")

FINISHED, OUT_OF_TIME, FAILED, NOT_STARTED = (
    "finished",
    "ran out of time",
    "failed",
    "not started: no time was left",
)
_RESULTS = "results"
_CPU_PATIENCE = 15  # on a CPU, which only shows that the parts run, time does not matter


def run_parts(parts: Mapping[str, Part], choice: Choice, seconds: float) -> dict[str, str]:
    """Run parts, and write ``<part>.json`` and the page after each.

    Args:
        parts: the parts by name.
        choice: the options.
        seconds: time limit of all together on a GPU; a part gets the remaining time, at most its own limit.

    Returns:
        How each part ended.
    """
    states = {}
    patience = 1 if choice.device == "cuda" else _CPU_PATIENCE
    end = time.monotonic() + patience * seconds
    for name, part in parts.items():
        limit = min(patience * part.seconds, end - time.monotonic())
        record = run_part(name, part, choice, limit)
        states[name] = record["state"]
        write_record(choice.folder / f"{name}.json", record)
        page = write_page(choice.folder)
        logger.info("%s: %s, %.0f s; page %s", name, record["state"], record["seconds"], page)
    return states


def run_part(name: str, part: Part, choice: Choice, limit: float) -> dict[str, Any]:
    """Run a part in its own process, which is stopped with its children after ``limit`` seconds.

    Returns:
        Its record: title, state, seconds, limit, the last line that it printed, and its results so far.
    """
    output = choice.folder / _RESULTS / f"{name}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    for old in (output, output.with_suffix(".xml")):
        old.unlink(missing_ok=True)
    record = {
        "part": name,
        "title": part.title,
        "device": choice.device,
        "quick": choice.quick,
        "limit": limit,
    }
    if limit <= 0:
        return {**record, "state": NOT_STARTED, "seconds": 0.0, "said": "", _RESULTS: {}}
    log = output.with_suffix(".log")
    start = time.monotonic()
    state = _run(part.words(choice, output), log, limit)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = lines[-1][:300] if lines else ""
    results = _read(output)
    return {**record, "state": state, "seconds": time.monotonic() - start, "said": said, _RESULTS: results}


def _run(words: list[str], log: Path, limit: float) -> str:
    """Run a command line; return how it ended."""
    with log.open("w", encoding="utf-8") as file:
        child = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        with heeded(resumes=False):  # otherwise SIGTERM would leave the child running
            try:
                return FAILED if child.wait(limit) else FINISHED
            except subprocess.TimeoutExpired:
                return OUT_OF_TIME
            finally:
                _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Stop a child process and its own children, if they are still running."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # none is running
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _read(output: Path) -> dict[str, Any]:
    """Return the results of a part: its JSON file, or the counts and failed tests in pytest's report."""
    if output.is_file():
        found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
        return found
    report = output.with_suffix(".xml")
    return _counts(report) if report.is_file() else {}


def _counts(report: Path) -> dict[str, Any]:
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    kinds = {kind: [c for c in cases if c.find(kind) is not None] for kind in ("failure", "error", "skipped")}
    broken = [
        f"{case.get('classname')}.{case.get('name')}" for kind in ("failure", "error") for case in kinds[kind]
    ]
    passed = len(cases) - sum(map(len, kinds.values()))
    return {
        "tests": {"passed": passed, "failed": len(broken), "skipped": len(kinds["skipped"])},
        "failed": broken,
    }
