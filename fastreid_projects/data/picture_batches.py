"""Batches of pictures of any kind, as inputs of a model: paths, folders, images, arrays, tensors, generators.

| letter | meaning  |
| ------ | -------- |
| B      | pictures |
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import BatchSampler, Dataset, SequentialSampler

from fastreid_projects.data.byte_transforms import as_bytes
from fastreid_projects.data.collate import fast_batch_collator
from fastreid_projects.data.device_loader import DeviceLoader
from fastreid_projects.data.feature_file import Row
from fastreid_projects.data.images import ImageLike, as_rgb
from fastreid_projects.data.sources import Picture, pictures_below

Images: TypeAlias = "ImageLike | Iterable[ImageLike]"
LoadedBatch: TypeAlias = tuple[list[Row], Tensor]


def single_pictures(images: Images) -> list[ImageLike] | Iterator[ImageLike]:
    """Return single pictures: a list if their number is known, else an iterator."""
    if isinstance(images, list | tuple):
        return [one for image in images for one in _one_or_many(image)]
    if isinstance(images, str | os.PathLike | Image.Image | np.ndarray | Tensor):
        return _one_or_many(images)
    if not isinstance(images, Iterable):
        return [images]  # the reader reports that it is not a picture
    return (one for image in images for one in _one_or_many(image))


def _one_or_many(image: ImageLike) -> list[ImageLike]:
    """Return the pictures in a folder, or along the first axis of an array or tensor; else the one picture."""
    if isinstance(image, str | os.PathLike):
        return list(pictures_below(image)) if os.path.isdir(image) else [image]
    if isinstance(image, Tensor):
        image = image.detach().cpu()  # a loading process cannot use the parent's GPU
    if isinstance(image, np.ndarray | Tensor) and image.ndim == 4:
        return list(image)
    return [image]


def picture_row(image: ImageLike) -> Row:
    """Return (path, person, camera) of a picture; "" for unknown values."""
    if isinstance(image, Picture):
        pid, camid = ("" if value is None else str(value) for value in (image.pid, image.camid))
        return image.path, pid, camid
    return (os.fspath(image) if isinstance(image, str | os.PathLike) else "", "", "")


def load_batches(
    items: list[ImageLike] | Iterator[ImageLike],
    transform: Any,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
) -> Iterator[LoadedBatch]:
    """Yield pictures in order.

    Args:
        items: the result of :func:`single_pictures`.
        transform: PIL image -> (3, h, w), RGB in 0..255.
        batch_size: number of pictures in a batch.
        workers: number of processes that read a list, or of threads that read an iterator.
        device: device for the batches of a list.

    Yields:
        The pictures' rows and (B, 3, h, w).

    Raises:
        DataError: a picture cannot be read.
    """
    if isinstance(items, list):
        return _listed(items, transform, batch_size, workers, device)
    return _streamed(items, transform, batch_size, workers)


def _listed(
    items: list[ImageLike], transform: Any, batch_size: int, workers: int, device: torch.device
) -> Iterator[LoadedBatch]:
    """Yield batches that processes load, as in the evaluation."""
    batches = BatchSampler(SequentialSampler(items), batch_size, drop_last=False)
    loader = DeviceLoader(
        device=device,
        dataset=_Pictures(items, as_bytes(transform)),
        batch_sampler=batches,
        num_workers=min(workers, len(batches) - 1) if items else 0,
        collate_fn=fast_batch_collator,
    )
    rows = map(picture_row, items)
    for batch in loader if items else ():
        yield list(itertools.islice(rows, len(batch))), batch


def _streamed(
    items: Iterator[ImageLike], transform: Any, batch_size: int, workers: int
) -> Iterator[LoadedBatch]:
    """Yield batches that threads load; the next one is read while one is computed."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        ahead: list[tuple[list[Row], Iterator[Tensor]]] = []
        while True:
            part = list(itertools.islice(items, batch_size))
            if part:
                ahead.append(
                    ([*map(picture_row, part)], pool.map(lambda image: transform(as_rgb(image)), part))
                )
            if not ahead:
                return
            if not part or len(ahead) > 1:
                rows, images = ahead.pop(0)
                yield rows, fast_batch_collator(list(images))


class _Pictures(Dataset[Any]):
    """Pictures as inputs of a model."""

    def __init__(self, items: list[ImageLike], transform: Any) -> None:
        self.items = items
        self.transform = transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.transform(as_rgb(self.items[index]))
