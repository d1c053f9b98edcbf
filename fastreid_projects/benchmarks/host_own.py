"""Time FastReID's own trainer and loader, patched just enough to run; this script does not import this project.

It is run by its path in its own process, ``python -P host_own.py JOB``, where JOB is a JSON file with

- ``work``: ``"step"``, a training step on the same batch, or ``"loader"``, batches of pictures brought to the device;
- ``config``: a YAML text, from which the keys that FastReID knows are read;
- ``device``, ``batch``, ``repeats`` and, for a loader, ``pictures`` (paths) and ``batches`` per repeat.

It prints one line of JSON: ``seconds`` of each repeat, and ``peak_mib`` of the CUDA allocator.

The patches restore names that PyTorch 2 and Python 3.10 removed, and disable flat parameter buffers, whose weights are
not updated on PyTorch 2. On a CPU, for which FastReID has no loader, a plain DataLoader is used.
"""

from __future__ import annotations

import collections
import collections.abc
import itertools
import json
import sys
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml


def import_host() -> None:
    """Import FastReID, with the removed names restored."""
    six: Any = types.ModuleType("torch._six")
    six.string_classes = (str, bytes)
    sys.modules["torch._six"] = six
    collections.Mapping = collections.abc.Mapping  # type: ignore[attr-defined]
    import fastreid.data
    import fastreid.engine
    import fastreid.modeling
    import fastreid.solver  # noqa: F401


def read_config(text: str) -> Any:
    """Return the host's config with the values of a YAML text whose keys the host knows."""
    from fastreid.config import get_cfg

    def take(node: Any, values: dict[str, Any]) -> None:
        for key, value in values.items():
            if isinstance(value, dict) and key in node:
                take(node[key], value)
            elif key in node:
                node[key] = tuple(value) if isinstance(node[key], tuple) else value

    cfg = get_cfg()
    take(cfg, yaml.safe_load(text))
    return cfg


def training_step(job: dict[str, Any]) -> Callable[[], None]:
    """Return a function that does a step of the host's trainer; the batch is on the device, as from its loader."""
    from fastreid.engine.train_loop import AMPTrainer, SimpleTrainer
    from fastreid.modeling.meta_arch import build_model
    from fastreid.solver import build_optimizer
    from fastreid.utils.events import EventStorage

    cfg = read_config(job["config"])
    model = build_model(cfg)
    height, width = cfg.INPUT.SIZE_TRAIN
    images = torch.rand(job["batch"], 3, height, width, device=job["device"]) * 255
    targets = torch.arange(job["batch"], device=job["device"]) // cfg.DATALOADER.NUM_INSTANCE
    optimizer, _ = build_optimizer(cfg, model, contiguous=False)
    kind = AMPTrainer if cfg.SOLVER.AMP.ENABLED else SimpleTrainer
    trainer = kind(model, [], optimizer, None)
    trainer.iter = 0

    def run() -> None:
        # The host normalises in place: a batch can be used once, as in training.
        trainer._data_loader_iter = iter([{"images": images.clone(), "targets": targets}])
        with EventStorage(0) as trainer.storage:
            trainer.run_step()

    return run


def loader(job: dict[str, Any]) -> Callable[[], None]:
    """Return a function that loads batches of pictures to the device with the host's loader and augmentation."""
    from fastreid.data import CommDataset
    from fastreid.data import build as host_build
    from fastreid.data.samplers import TrainingSampler
    from fastreid.data.transforms import build_transforms
    from torch.utils.data import BatchSampler, DataLoader

    cfg = read_config(job["config"])
    items = [(path, number // 4, 0) for number, path in enumerate(job["pictures"])]
    data = CommDataset(items, build_transforms(cfg, is_train=True), relabel=False)
    sampler, workers = TrainingSampler(len(data)), cfg.DATALOADER.NUM_WORKERS
    if job["device"].startswith("cuda"):
        options = {"sampler": sampler, "total_batch_size": job["batch"], "num_workers": workers}
        batches = iter(host_build.build_reid_train_loader(train_set=data, **options))
    else:
        own = {"batch_sampler": BatchSampler(sampler, job["batch"], True), "num_workers": workers}
        batches = iter(DataLoader(data, collate_fn=host_build.fast_batch_collator, **own))

    def run() -> None:
        for batch in itertools.islice(batches, job["batches"]):
            batch["images"].sum()

    return run


def measure(function: Callable[[], None], device: str, repeats: int) -> dict[str, Any]:
    """Return the seconds of each of ``repeats`` calls after a first one, and the rise of the CUDA allocator's peak."""
    cuda = device.startswith("cuda")
    wait: Callable[[], Any] = torch.cuda.synchronize if cuda else lambda: None
    before = torch.cuda.memory_allocated() if cuda else 0
    function()
    wait()
    peak = (torch.cuda.max_memory_allocated() - before) / 2**20 if cuda else None
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        wait()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "peak_mib": peak}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import_host()
    function = {"step": training_step, "loader": loader}[task["work"]](task)
    print(json.dumps(measure(function, task["device"], task["repeats"])))
