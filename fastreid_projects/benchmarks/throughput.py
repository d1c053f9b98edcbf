"""Compare training steps per second with one and with several processes on the same cores."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fastreid.engine import defaults
from fastreid.solver import build_optimizer
from fastreid.utils import comm
from fastreid.utils.events import EventStorage

from fastreid_projects.benchmarks.measure import Measurement
from fastreid_projects.config import load_config
from fastreid_projects.engine.processes.launch import launch
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError

_CLASSES, _WARM_UP = 751, 2


def compare_processes(
    config_file: str, numbers: Sequence[int], *, batch: int, steps: int, opts: Sequence[str] = ()
) -> list[Measurement]:
    """Measure steps with the same global batch of random images on the CPU; no data is read.

    Args:
        config_file: the config to train.
        numbers: the numbers of processes; the last one is the baseline of the others.
        batch: the images of a step over all processes; a multiple of each number.
        steps: the number of measured steps, after two unmeasured ones.
        opts: ``KEY VALUE`` pairs that override the config.

    Returns:
        One measurement for each number: the seconds of a step, with the images per second in its name.

    Raises:
        ConfigError: the config does not give all images the same size.
    """
    size = load_config(config_file, list(opts)).INPUT.SIZE_TRAIN
    if len(size) != 2 or min(size) <= 0:
        raise ConfigError(
            f"INPUT.SIZE_TRAIN is {list(size)}, but the measured images need [height, width] in pixels, "
            "e.g. [256, 128]"
        )
    taken = [
        _seconds(config_file, [*opts, "MODEL.DEVICE", "cpu"], number, batch, steps) for number in numbers
    ]
    return [
        Measurement(
            case="processes, training step",
            name=f"{number} process{'es' * (number > 1)}, {batch / seconds:.1f} images a second",
            seconds=seconds,
            peak_mib=None,
            ratio=taken[-1] / seconds,
        )
        for number, seconds in zip(numbers, taken, strict=True)
    ]


def _seconds(config_file: str, opts: list[str], number: int, batch: int, steps: int) -> float:
    """Return the seconds of a step with ``number`` processes; the main one writes them to a file."""
    with tempfile.TemporaryDirectory() as folder:
        args = argparse.Namespace(
            num_gpus=number,
            num_machines=1,
            machine_rank=0,
            dist_url="auto",
            config_file=config_file,
            opts=opts,
            batch=batch,
            steps=steps,
            result=os.path.join(folder, "seconds"),
        )
        launch(_train, args)
        return float(Path(args.result).read_text(encoding="utf-8"))


def _train(args: argparse.Namespace) -> None:
    cfg = load_config(args.config_file, args.opts)
    cfg.MODEL.BACKBONE.PRETRAIN, cfg.MODEL.HEADS.NUM_CLASSES = False, _CLASSES
    model: Any = Trainer.build_model(cfg).train()
    optimizer, _ = build_optimizer(cfg, model)
    if comm.get_world_size() > 1:
        model = defaults.DistributedDataParallel(model, device_ids=[0], broadcast_buffers=False)
    number, (height, width) = args.batch // comm.get_world_size(), cfg.INPUT.SIZE_TRAIN
    images = {
        "images": torch.rand(number, 3, height, width) * 255,
        "targets": torch.arange(number) // cfg.DATALOADER.NUM_INSTANCE,
    }
    start = 0.0
    with EventStorage():
        for step in range(_WARM_UP + args.steps):
            if step == _WARM_UP:
                comm.synchronize()
                start = time.perf_counter()
            optimizer.zero_grad()
            sum(model(images).values()).backward()
            optimizer.step()
    comm.synchronize()
    if comm.is_main_process():
        Path(args.result).write_text(str((time.perf_counter() - start) / args.steps), encoding="utf-8")
