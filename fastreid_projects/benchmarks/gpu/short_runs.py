"""A short run of each paper on the synthetic demo set: its scores, and how much its weights have changed.

``python -m fastreid_projects.benchmarks.gpu.short_runs --output FILE`` writes the JSON file after each paper.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fastreid_projects.checkpoints.weights import load_state_dict_file
from fastreid_projects.config import load_config
from fastreid_projects.config.finding import find_config
from fastreid_projects.plugins import PAPERS
from fastreid_projects.records.record import environment, write_record

_EPOCHS = 3
_FIRST, _LAST = "model_0000.pth", "model_final.pth"


def short_opts(config: str, folder: str, device: str, *, quick: bool) -> list[str]:
    """Return KEY VALUE pairs for a short run that saves a checkpoint after its first epoch and is tested at its end.

    Args:
        config: the path of its YAML file.
        folder: its OUTPUT_DIR.
        device: ``"cpu"``, or ``"cuda"`` with mixed precision.
        quick: whether to train fewer epochs on small images.
    """
    epochs = 2 if quick else _EPOCHS
    stage = {
        "SOLVER.MAX_EPOCH": epochs,
        "SOLVER.SCHED": "MultiStepLR",
        "SOLVER.STEPS": [],
        "SOLVER.WARMUP_ITERS": 0,
        "SOLVER.WARMUP_EPOCHS": 0,
        "SOLVER.CHECKPOINT_PERIOD": 1,
        "SOLVER.KEEP_CHECKPOINTS": True,
        "TEST.EVAL_PERIOD": epochs,
    }
    pairs: dict[str, Any] = {
        "OUTPUT_DIR": folder,
        "MODEL.DEVICE": device,
        "SOLVER.AMP.ENABLED": device == "cuda",
        "DATALOADER.NUM_WORKERS": 0 if quick else 8,
        **stage,
    }
    if quick:
        pairs |= {"INPUT.SIZE_TRAIN": [64, 32], "INPUT.SIZE_TEST": [64, 32]}
    for entry in load_config(config).STAGES:
        if entry.get("CONFIG"):
            pairs |= {f"STAGES.{entry['NAME']}.{key}": value for key, value in stage.items()}
    return [str(word) for pair in pairs.items() for word in pair]


def train(paper: str, device: str, *, quick: bool) -> dict[str, Any]:
    """Train a paper's small config in its own process; return its results, or its last words if it failed."""
    config = find_config(f"{PAPERS[paper].demo}.yml")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "fastreid_projects", "train", "--config-file", config]
        done = subprocess.run(
            [*words, *short_opts(config, folder, device, quick=quick)],
            capture_output=True,
            text=True,
            check=False,
        )
        found: dict[str, Any] = {"paper": paper, "config": config, "seconds": time.monotonic() - start}
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            return {**found, "said": said[-1] if said else f"exit code {done.returncode}"}
        record = json.loads((Path(folder) / "run.json").read_text(encoding="utf-8"))
        first, last = (load_state_dict_file(str(Path(folder) / name)) for name in (_FIRST, _LAST))
    metrics = record["metrics"]
    found |= {"metrics": metrics, "peak MiB": record["peak_memory_mib"].get("cuda")}
    found |= {name: metrics[name] for name in ("mAP", "Rank-1") if name in metrics}
    return found | movement(first, last)


def movement(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return how many of a model's float tensors have changed, and by which share of their total length."""
    names = [name for name, value in before.items() if value.is_floating_point()]
    squares = [
        (
            float((after[name].double() - before[name].double()).square().sum()),
            float(before[name].double().square().sum()),
        )
        for name in names
    ]
    gone, length = (math.sqrt(math.fsum(column)) for column in zip(*squares, strict=True))
    moved = sum(square > 0 for square, _ in squares)
    return {
        "moved weights": f"{moved} of {len(names)}",
        "moved by, of their length": gone / max(length, 1e-12),
    }


def main() -> None:
    """Train all papers one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    made: list[dict[str, Any]] = []
    for paper in PAPERS:
        made.append(train(paper, args.device, quick=args.quick))
        write_record(args.output, {**environment(), "runs": made})
        print(json.dumps(made[-1]), flush=True)
    if any("said" in run for run in made):
        sys.exit(1)


if __name__ == "__main__":
    main()
