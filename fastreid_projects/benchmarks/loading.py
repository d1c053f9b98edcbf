"""Compare ways from JPEG files to batches for training with the host's transforms."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from fastreid.config import get_cfg
from fastreid.data import CommDataset
from fastreid.data.transforms import build_transforms
from PIL import Image
from torch.utils.data import DataLoader

from fastreid_projects.benchmarks.measure import Measurement, compare
from fastreid_projects.data.byte_images import ByteBatch
from fastreid_projects.data.byte_transforms import as_bytes
from fastreid_projects.data.collate import fast_batch_collator
from fastreid_projects.data.device_loader import DeviceLoader

_BATCH = 64
_SIZE = (256, 128)
# Sizes of the files (height, width): as in Market-1501, as in training, and as a crop of a large video.
_FILES = ((128, 64), _SIZE, (1024, 512))


def loading(quick: bool, device: str) -> list[Measurement]:
    """Compare batches of 64 images with the papers' augmentation (resize, pad, crop, flip, erase), in this process.

    "bytes" are batches that workers send to a device, "bytes, floats on the CPU" those for training on a CPU.
    """
    batches, repeats = (1, 1) if quick else (4, 7)
    return [
        measurement
        for size in _FILES
        for measurement in _compare_ways(size, batches if size <= _SIZE else max(batches // 4, 1), repeats)
    ]


def _compare_ways(size: tuple[int, int], batches: int, repeats: int) -> list[Measurement]:
    host = build_transforms(_papers_config(), is_train=True)
    ours = as_bytes(host, exact=False)
    with tempfile.TemporaryDirectory() as folder:
        items = [(path, number, 0) for number, path in enumerate(_write(folder, batches * _BATCH, size))]

        def loader(kind: Any, transform: Any, **options: Any) -> Any:
            data = CommDataset(items, transform, relabel=True)
            return kind(dataset=data, batch_size=_BATCH, collate_fn=fast_batch_collator, **options)

        loaders = {
            "bytes": loader(DataLoader, ours),
            "bytes, floats on the CPU": loader(DeviceLoader, ours, device=torch.device("cpu")),
            "host's transforms": loader(DataLoader, host),
        }
        ways = [(f"{name}, {_mib(loaded):.1f} MiB a batch", _all(loaded)) for name, loaded in loaders.items()]
        case = f"{len(items)} JPEGs of {size[0]}x{size[1]}"
        return compare(case, ways, repeats=repeats)


def _papers_config() -> Any:
    cfg = get_cfg()
    cfg.INPUT.SIZE_TRAIN = list(_SIZE)
    for name in ("FLIP", "PADDING", "REA"):
        cfg.INPUT[name].ENABLED = True
    return cfg


def _all(loader: Any) -> Callable[[], None]:
    def run() -> None:
        for _ in loader:
            pass

    return run


def _mib(loader: Any) -> float:
    images = next(iter(loader))["images"]
    pixels = images.pixels if isinstance(images, ByteBatch) else images
    return pixels.numel() * pixels.element_size() / 2**20


def _write(folder: str, count: int, size: tuple[int, int]) -> list[str]:
    """Write smooth images with some noise, whose files are as large as those of photographs; return their paths."""
    rng = np.random.default_rng(0)
    height, width = size
    paths = [f"{folder}/{number}.jpg" for number in range(count)]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 256, (16, 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noisy = smooth + rng.integers(-8, 9, smooth.shape, dtype=np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths
