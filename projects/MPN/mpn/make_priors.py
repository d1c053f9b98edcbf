"""Makes the folder of body part masks for a dataset: in several processes, resumable, with a summary and a sheet."""

from __future__ import annotations

import collections
import contextlib
import itertools
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from fastreid_projects.data.part_masks import HEAD, TINTS, mask_path, read_mask, write_mask
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.files import write_aside
from fastreid_projects.host.datasets import build_dataset, subset
from fastreid_projects.host.images import read_image
from fastreid_projects.mpn.providers.base import Provider, build_provider, provider_class
from fastreid_projects.mpn.regions import find_regions, has_head_and_leg, has_part

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
SPLITS = ("train", "query", "gallery")
_CHUNK = 16
_SHEET_HEIGHT, _SHEET_COLUMNS = 192, 6


class Summary(NamedTuple):
    """What the masks of a folder hold.

    Attributes:
        images: how many.
        empty: without any part.
        no_head: with a body but no head.
        no_leg: with a head but no leg.
        made: masks of this call; the others were there.
    """

    images: int
    empty: int
    no_head: int
    no_leg: int
    made: int

    @property
    def even(self) -> int:
        """Images that are divided evenly."""
        return self.empty + self.no_head + self.no_leg

    def __str__(self) -> str:
        share = 100 * self.even / max(self.images, 1)
        return (
            f"{self.images} masks ({self.made} new): {self.even} images ({share:.1f} %) are divided evenly: "
            f"{self.empty} without a person, {self.no_head} without a head, {self.no_leg} without a leg"
        )


def dataset_images(name: str, splits: Sequence[str]) -> list[str]:
    """Paths of a registered dataset's images.

    Raises:
        ConfigError: an unknown dataset or split.
        DataError: its files are not there.
    """
    unknown = set(splits) - set(SPLITS)
    if unknown:
        raise ConfigError(f"there is no split '{min(unknown)}'; known are {', '.join(SPLITS)}")
    dataset = build_dataset(name)
    items = itertools.chain.from_iterable(subset(dataset, name, split) for split in splits)
    return sorted({item[0] for item in items})


def folder_images(folder: str | Path) -> list[str]:
    """Paths of the images right in a folder.

    Raises:
        DataError: there are none, or no such folder.
    """
    if not Path(folder).is_dir():
        what = "is a file, not a folder of images" if Path(folder).exists() else "does not exist"
        raise DataError(f"the folder {folder} {what}: name a folder with --images")
    found = sorted(str(p) for p in Path(folder).glob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"the folder {folder} holds no image ({', '.join(SUFFIXES)})")
    return found


def make_priors(
    images: Sequence[str],
    provider: str,
    options: Mapping[str, Any],
    *,
    folder: str = "part_masks",
    workers: int | None = None,
    overwrite: bool = False,
) -> Summary:
    """Write the masks of images; those that are there already stay.

    Args:
        images: paths.
        provider: a name of ``PROVIDERS``.
        options: of the provider.
        folder: see ``mask_path``.
        workers: processes, at most and by default the number of cores.
        overwrite: make all of them anew.

    Returns:
        What the folder then holds.

    Raises:
        ConfigError: an unknown provider, or something that it needs is missing.
        WeightsError: a model of it is missing.
        DataError: an image cannot be read, or a mask cannot be written; what was made before stays.
    """
    provider_class(provider)
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers is {workers} but has to be at least 1")
    missing = [path for path in images if overwrite or not _usable(mask_path(path, folder))]
    cores = os.cpu_count() or 1
    workers = max(min(workers or cores, cores, len(missing) // _CHUNK), 1)
    chunks = [missing[i : i + _CHUNK] for i in range(0, len(missing), _CHUNK)]
    with tqdm(total=len(images), initial=len(images) - len(missing), unit="image", desc=provider) as bar:
        for count in _run(chunks, provider, options, folder, workers):
            bar.update(count)
    return summarize(images, folder, made=len(missing))


def _usable(path: Path) -> bool:
    """Whether a mask is there and whole."""
    try:
        read_mask(path)
    except DataError:
        return False
    return True


def _run(
    chunks: list[list[str]], provider: str, options: Mapping[str, Any], folder: str, workers: int
) -> Iterator[int]:
    if not chunks:
        return
    if workers == 1:
        built = build_provider(provider, options)
        for chunk in chunks:
            yield _make(built, chunk, folder)
        return
    build_provider(provider, options)  # its mistakes are told here, in one sentence
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (provider, dict(options))) as pool:
        futures = [pool.submit(_make_here, chunk, folder) for chunk in chunks]
        try:
            for future in futures:
                yield future.result()
        finally:
            with contextlib.suppress(Exception):
                pool.shutdown(cancel_futures=True)


_built: list[Provider] = []


def _start(provider: str, options: Mapping[str, Any]) -> None:
    """A worker: one thread, one provider."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _built.append(build_provider(provider, options))


def _make_here(paths: list[str], folder: str) -> int:
    return _make(_built[0], paths, folder)


def _make(provider: Provider, paths: list[str], folder: str) -> int:
    for path in paths:
        image = np.array(read_image(path))
        write_mask(mask_path(path, folder), provider.find(image, path).union())
    return len(paths)


def summarize(images: Sequence[str], folder: str, made: int = 0) -> Summary:
    """Count what the masks of images hold.

    Raises:
        DataError: a mask is missing.
    """
    counts: collections.Counter[str] = collections.Counter()
    for path in images:
        parts = read_mask(mask_path(path, folder))
        counts[_lack(parts)] += 1
    return Summary(len(images), counts["person"], counts["head"], counts["leg"], made)


def _lack(parts: np.ndarray) -> str:
    """What an image lacks for a region of its own: ``"person"``, ``"head"``, ``"leg"`` or ""."""
    if not parts.any():
        return "person"
    if has_head_and_leg(torch.from_numpy(parts)[None]).item():
        return ""
    return "leg" if has_part(torch.from_numpy(parts)[None], HEAD).item() else "head"


def contact_sheet(
    images: Sequence[str], folder: str, path: str | Path, *, count: int = 24, parts: int = 6
) -> Path:
    """Write a sheet of images, their masks, and the regions that follow on a map of 24 x 8.

    Args:
        images: paths, of which ``count`` are shown, evenly spread.
        folder: of the masks.
        path: the PNG to write.
        count: images on the sheet.
        parts: K, for the lines between the parts.
    """
    step = max(len(images) // count, 1)
    tiles = [_tile(image, folder, parts) for image in list(images)[::step][:count]]
    width = max(tile.shape[1] for tile in tiles)
    tiles = [np.pad(tile, ((4, 4), (4, width - tile.shape[1] + 4), (0, 0))) for tile in tiles]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _SHEET_COLUMNS)
    rows = [np.concatenate(tiles[i : i + _SHEET_COLUMNS], 1) for i in range(0, len(tiles), _SHEET_COLUMNS)]
    encoded = cv2.imencode(".png", np.concatenate(rows)[:, :, ::-1])[1]
    return write_aside(path, encoded.tobytes())


def _tile(image_path: str, folder: str, parts: int) -> np.ndarray:
    """Image, parts in colours, and the masked map with the lines between the parts, side by side."""
    image = np.array(read_image(image_path))
    found = read_mask(mask_path(image_path, folder))
    mask = torch.from_numpy(found)[None]
    regions = find_regions(mask, mask, (24, 8))
    size = (round(_SHEET_HEIGHT * image.shape[1] / image.shape[0]), _SHEET_HEIGHT)
    shown = np.array(Image.fromarray(image).resize(size))
    coloured = cv2.resize(np.array(TINTS, np.uint8)[found], size, interpolation=cv2.INTER_NEAREST)
    cells = cv2.resize(regions.mask[0].numpy(), size, interpolation=cv2.INTER_NEAREST)
    region = (shown * (0.25 + 0.75 * cells[..., None])).astype(np.uint8)
    top, bottom = regions.top.item() * _SHEET_HEIGHT / 24, regions.bottom.item() * _SHEET_HEIGHT / 24
    for line in np.linspace(top, bottom, parts + 1):
        row = min(round(float(line)), _SHEET_HEIGHT - 1)
        region[row] = (80, 255, 80) if regions.found.item() else (255, 80, 80)
    return np.concatenate([shown, coloured, region], 1)
