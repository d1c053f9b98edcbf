"""Compare the training step and the loader with FastReID's own, which run unpatched in their own process."""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastreid.data import CommDataset, build_reid_train_loader
from fastreid.data.samplers import TrainingSampler
from fastreid.data.transforms import build_transforms
from fastreid.engine.train_loop import AMPTrainer, SimpleTrainer
from fastreid.modeling.meta_arch import build_model
from fastreid.solver import build_optimizer
from fastreid.utils.events import EventStorage
from PIL import Image

from fastreid_projects.benchmarks.measure import Measurement, compare
from fastreid_projects.config import load_config
from fastreid_projects.errors import DataError
from fastreid_projects.host.engine.train_loop.amp import set_amp_dtype

_HOSTS = Path(__file__).with_name("host_own.py")
_STEP = "trainer's step"
_LOADER = "loader"
_MINUTES = 5


def trainers(quick: bool, device: str) -> list[Measurement]:
    """Compare a step of BoT with ResNet-50 by this project's trainer, FastReID's own and a plain loop.

    A batch has 64 images of 256x128; on a GPU, the step is in mixed precision.
    """
    cfg = _bag_of_tricks(quick, device)
    batch = 8 if quick else 64
    repeats = 2 if quick else 30
    data = {
        "images": torch.rand(batch, 3, *cfg.INPUT.SIZE_TRAIN, device=device) * 255,
        "targets": torch.arange(batch, device=device) // cfg.DATALOADER.NUM_INSTANCE,
    }
    ways = [("this project's trainer", _trainers_step(cfg, data)), ("plain loop", _plain_step(cfg, data))]
    measured = compare(_STEP, ways, repeats=repeats, device=device)
    job = {"work": "step", "config": cfg.dump(), "device": device, "batch": batch, "repeats": repeats}
    return _with_host(measured, "FastReID's own trainer", job)


def loaders(quick: bool, device: str) -> list[Measurement]:
    """Compare loaders that bring batches of 64 JPEG files of 256x128 to the device, by eight processes, as in BoT."""
    cfg = _bag_of_tricks(quick, device)
    batch, batches, count = (8, 2, 16) if quick else (64, 40, 2000)
    cfg.DATALOADER.NUM_WORKERS, cfg.SOLVER.IMS_PER_BATCH = (0 if quick else 8), batch
    with tempfile.TemporaryDirectory() as folder:
        paths = _write_pictures(Path(folder), count)
        items = [(path, number // 4, 0) for number, path in enumerate(paths)]
        images = CommDataset(items, build_transforms(cfg, is_train=True), relabel=False)
        loader = iter(build_reid_train_loader(cfg, train_set=images, sampler=TrainingSampler(count)))

        def run() -> None:
            for loaded in itertools.islice(loader, batches):
                loaded["images"].sum()

        (own,) = compare(_LOADER, [("", run)], repeats=1 if quick else 3, device=device)
        job = {"work": "loader", "config": cfg.dump(), "device": device, "batch": batch}
        job |= {"batches": batches, "pictures": paths, "repeats": 1 if quick else 3}
        host = _host_seconds(job)[0]
    return [
        Measurement(
            _LOADER, f"{name}, {batch * batches / seconds:.0f} images a second", seconds, None, host / seconds
        )
        for name, seconds in (("this project's", own.seconds), ("FastReID's own", host))
    ]


def _bag_of_tricks(quick: bool, device: str) -> Any:
    name = "demo/bagtricks_r18_demo.yml" if quick else "market1501/bagtricks_r50_market1501.yml"
    opts = ["MODEL.DEVICE", device, "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.HEADS.NUM_CLASSES", "751"]
    size = "[64, 32]" if quick else "[256, 128]"
    mixed = str(device.startswith("cuda"))
    return load_config(f"configs/{name}", [*opts, "INPUT.SIZE_TRAIN", size, "SOLVER.AMP.ENABLED", mixed])


def _trainers_step(cfg: Any, data: dict[str, Any]) -> Callable[[], None]:
    model = build_model(cfg)
    kind = AMPTrainer if cfg.SOLVER.AMP.ENABLED else SimpleTrainer
    trainer = kind(model, [], *build_optimizer(cfg, model))
    set_amp_dtype(trainer, cfg.SOLVER.AMP.DTYPE)
    trainer._data_loader_iter, trainer.iter = itertools.repeat(data), 0

    def run() -> None:
        with EventStorage(0) as trainer.storage:
            trainer.run_step()

    return run


def _plain_step(cfg: Any, data: dict[str, Any]) -> Callable[[], None]:
    """Return a plain step of autocast, scaler, backward and Adam, as in a tutorial on mixed precision."""
    model: Any = build_model(cfg).train()
    device, mixed = next(model.parameters()).device.type, cfg.SOLVER.AMP.ENABLED
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=cfg.SOLVER.BASE_LR)
    scaler = torch.amp.GradScaler(device, enabled=mixed)

    def run() -> None:
        with EventStorage(0), torch.autocast(device, torch.float16 if mixed else None, enabled=mixed):
            loss = sum(model(data).values())
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return run


def _with_host(measured: Sequence[Measurement], name: str, job: dict[str, Any]) -> list[Measurement]:
    """Insert the host's own measurement before the last one, which is the baseline of all."""
    seconds, peak = _host_seconds(job)
    base = measured[-1]
    host = Measurement(base.case, name, seconds, peak, base.seconds / seconds)
    return [*measured[:-1], host, base]


def _host_seconds(job: dict[str, Any]) -> tuple[float, float | None]:
    """Return the median seconds of the host's own work, and its peak memory on the device in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        words = [sys.executable, "-P", str(_HOSTS), str(path)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60 * _MINUTES, check=False)
    if done.returncode:
        raise DataError(f"FastReID's own {job['work']} failed: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return statistics.median(found["seconds"]), found["peak_mib"]


def _write_pictures(folder: Path, count: int) -> list[str]:
    """Write images of noise, 256 x 128, smooth enough for JPEG; return their paths."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (32, 16, 3)).astype(np.uint8))
        small.resize((128, 256), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")
        paths.append(str(folder / f"{number}.jpg"))
    return paths
