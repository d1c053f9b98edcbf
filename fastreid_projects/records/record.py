"""``OUTPUT_DIR/run.json``: what was run, where, for how long, and with which results."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from fastreid_projects.contract import CountsItems
from fastreid_projects.files import write_aside
from fastreid_projects.plugins import used_plugins

_PACKAGES = ("fastreid-projects", "fastreid", "torch", "torchvision", "numpy", "faiss-gpu", "faiss-cpu")


def environment() -> dict[str, Any]:
    """Return the versions, hardware and commit of this process, for run records and benchmarks."""
    return {"commit": _commit(), "versions": _versions(), "hardware": _hardware()}


def write_record(path: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Write a record as JSON to a temporary file and rename it, so that it is never incomplete; NaN becomes null."""
    write_aside(path, (json.dumps(_plain(record), indent=2) + "\n").encode())


class RunRecord:
    """Collect the facts of a run from its start.

    Args:
        cfg: the config of the run.
        command: the command line, for the reader of the record.
    """

    def __init__(self, cfg: Any, command: str = "") -> None:
        self.cfg = cfg
        self.command = command
        self.start = time.time()
        self.environment = environment()  # of the code that runs, even if the checkout changes meanwhile

    def finish(
        self,
        metrics: Mapping[str, Any],
        stages: Sequence[tuple[str, str]] = (),
        training: Mapping[str, Any] | None = None,
        trained_tests: Sequence[str] = (),
    ) -> Path:
        """Write ``run.json``.

        Args:
            metrics: the metrics of the evaluator, nested by dataset if there are several; their ``counts``, the
                numbers of items that they are computed from, are stored beside them by dataset.
            stages: (name, OUTPUT_DIR) of the earlier stages, whose seconds and metrics are copied from their records.
            training: :func:`training_facts` of the model, if this run only evaluated it.
            trained_tests: test sets whose people the model was trained on; the scores there are not test scores.
        """
        path = Path(self.cfg.OUTPUT_DIR) / "run.json"
        record = {
            "command": self.command,
            "date": datetime.fromtimestamp(self.start, UTC).isoformat(timespec="seconds"),
            "config": self.cfg.dump(),
            "plugins": [plugin.facts() for plugin in used_plugins(self.cfg)],
            "seed": self.cfg.SEED,
            "processes": dist.get_world_size() if dist.is_initialized() else 1,
            **self.environment,
            "seconds": round(time.time() - self.start, 2),
            "peak_memory_mib": peak_memory_mib(),
            "metrics": dict(metrics),
            "counts": metrics.counts if isinstance(metrics, CountsItems) else {},
        }
        if trained_tests:
            record["trained_tests"] = list(trained_tests)
        if stages:
            record["stages"] = [{"name": name, **_stage_facts(folder)} for name, folder in stages]
        if training is not None:
            record["training"] = training
        write_record(path, record)
        return path


def training_facts(folder: str) -> dict[str, Any]:
    """Return all facts of the training run that a record describes, except for config, metrics and counts.

    The record of an evaluation replaces that of training and holds its facts as ``training``; {} if they are not known.
    """
    try:
        record = json.loads((Path(folder) / "run.json").read_text(encoding="utf-8"))
        facts = dict(record.get("training", record))
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return {key: value for key, value in facts.items() if key not in ("config", "metrics", "counts")}


def _stage_facts(folder: str) -> dict[str, Any]:
    """Return the seconds and metrics in the record of a stage; {} if the stage was interrupted before it wrote one."""
    try:
        record = json.loads((Path(folder) / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    seconds = (record.get("training") or record)["seconds"]
    return {"seconds": seconds, "metrics": record["metrics"]}


def peak_memory_mib() -> dict[str, float]:
    """Return the peak resident memory of this process, and that of the CUDA allocator if there is one, in MiB."""
    unit = 1024 if sys.platform != "darwin" else 1024 * 1024
    peak = {"process": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)}
    if torch.cuda.is_available():
        peak["cuda"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return peak


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    number = float(value)
    return number if number == number and abs(number) != float("inf") else None


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _hardware() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpus": gpus,
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str:
    """Return the commit of the checkout that this package runs from; "" for an installed copy."""
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
