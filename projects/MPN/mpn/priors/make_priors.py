"""Make the folder of body part masks for a dataset: in several processes, resumable, with a summary and a sheet."""

from __future__ import annotations

import collections
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from fastreid_projects.data.datasets import build_dataset, subset
from fastreid_projects.data.demo import masks as drawn_masks
from fastreid_projects.data.images import is_picture, read_image
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.files import check_writable, remove_unfinished, write_aside
from fastreid_projects.visualization.spread import evenly_spread

from ..data.part_dataset import unusable_mask
from ..data.part_masks import FOLDER, HEAD, TINTS, mask_path, read_mask
from ..providers.base import provider_class
from ..regions import find_regions, has_head_and_leg, has_part
from .mask_workers import make_masks

SPLITS = ("train", "query", "gallery")
MAP = (24, 8)
"""Height and width of the map of a 384 x 128 image, on which the regions for summary and sheet are found."""
PARTS = 6
"""The paper's K, for the same purpose."""
_CHUNK = 16
_SHEET_HEIGHT, _SHEET_COLUMNS, _WIDEST = 192, 6, 768


class Summary(NamedTuple):
    """The content of the masks of a folder.

    Attributes:
        images: the number of images.
        empty: without any part, or with a body of fewer rows of the map than there are parts.
        no_head: with a body but without a head.
        no_leg: with a head but without a leg.
        made: the masks made in this call; the others existed.
    """

    images: int
    empty: int
    no_head: int
    no_leg: int
    made: int

    @property
    def even(self) -> int:
        """The number of images that are divided evenly."""
        return self.empty + self.no_head + self.no_leg

    def __str__(self) -> str:
        share = 100 * self.even / max(self.images, 1)
        return (
            f"{self.images} masks ({self.made} new): {self.even} images ({share:.1f} %) are divided evenly: "
            f"{self.empty} without a person, {self.no_head} without a head, {self.no_leg} without a leg"
        )


def dataset_images(name: str, splits: Sequence[str]) -> list[str]:
    """Return the paths of the images in a registered dataset.

    Raises:
        ConfigError: the dataset or a split is unknown.
        DataError: the files of the dataset are missing.
    """
    unknown = set(splits) - set(SPLITS)
    if unknown:
        raise ConfigError(f"there is no split '{min(unknown)}'; known are {', '.join(SPLITS)}")
    dataset = build_dataset(name)
    items = itertools.chain.from_iterable(subset(dataset, name, split) for split in splits)
    return sorted({item[0] for item in items})


def folder_images(folder: str | Path) -> list[str]:
    """Return the absolute paths of the images directly in a folder.

    Raises:
        DataError: there are none, or the folder does not exist.
    """
    if not Path(folder).is_dir():
        what = "is a file, not a folder of images" if Path(folder).exists() else "does not exist"
        raise DataError(f"the folder {folder} {what}: name a folder with --images")
    absolute = Path(os.path.abspath(folder))  # masks lie beside the folder, which "." does not name
    found = sorted(str(p) for p in absolute.glob("*") if is_picture(p.name))
    if not found:
        raise DataError(f"the folder {folder} does not hold an image that Pillow can read")
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
    """Write the masks of images, except for those that exist and can be used.

    Args:
        images: the paths of the images.
        provider: a name of ``PROVIDERS``.
        options: the options of the provider.
        folder: see ``mask_path``.
        workers: the number of processes, by default and at most the number of cores.
        overwrite: whether to replace masks that exist.

    Returns:
        The content of the folder after that.

    Raises:
        ConfigError: the provider is unknown, something that it needs is missing, or a mask would lie among the images.
        WeightsError: a model of the provider is missing.
        DataError: two images have the same mask, an image cannot be read, a mask cannot be written, or a process was
            ended from outside; masks that were made before stay.
    """
    provider_class(provider)
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers is {workers} but has to be at least 1")
    check_mask_paths(images, folder)
    for place in sorted({mask_path(path, folder).parent for path in images}):
        remove_unfinished(place)
    missing = [path for path in images if overwrite or not _usable(path, folder)]
    cores = os.cpu_count() or 1
    workers = max(min(workers or cores, cores, len(missing) // _CHUNK), 1)
    chunks = [missing[i : i + _CHUNK] for i in range(0, len(missing), _CHUNK)]
    done = len(images) - len(missing)
    with tqdm(total=len(images), initial=done, unit="image", desc=provider, disable=None) as bar:
        for count in make_masks(chunks, provider, options, folder, workers):
            bar.update(count)
    return summarize(images, folder, made=len(missing))


def check_mask_paths(images: Sequence[str], folder: str) -> None:
    """Check that no mask lies among the images, and that each mask belongs to one image.

    Raises:
        ConfigError: the folder of a mask is one of the images, or the mask is an image or belongs to the demo set.
        DataError: two images have the same mask.
    """
    real = {path: os.path.realpath(path) for path in images}
    taken = set(real.values())
    folders = {os.path.realpath(place) for place in {Path(path).parent for path in images}}
    owners: dict[str, str] = {}
    for path in images:
        mask = mask_path(path, folder)
        place = os.path.realpath(mask)
        if place in taken or os.path.realpath(mask.parent) in folders:
            raise ConfigError(
                f"--folder '{folder}' puts masks among the images, as {mask}: name another folder, e.g. {FOLDER}"
            )
        if _holds_drawn_truth(path, mask):
            raise ConfigError(
                f"--folder '{folder}' holds the masks of the synthetic demo set, such as {mask}: name another folder, "
                f"e.g. {FOLDER}"
            )
        other = owners.setdefault(place, path)
        if real[other] != real[path]:
            raise DataError(
                f"the images {other} and {path} have the same mask, {mask}: rename one of them, or let --folder be a "
                f"name beside the image folders, e.g. {FOLDER}"
            )


def _holds_drawn_truth(image_path: str, mask: Path) -> bool:
    """Return whether the place of a mask holds the mask that was drawn with the image."""
    if os.path.realpath(mask) != os.path.realpath(drawn_masks.mask_path(image_path)):
        return False
    try:
        drawn_masks.load_masks(image_path)
    except DataError:
        return False
    return True


def _usable(image_path: str, folder: str) -> bool:
    """Return whether an image's mask exists, is complete and has the right size; it may be empty."""
    return unusable_mask(image_path, folder) in ("", "empty")


def summarize(images: Sequence[str], folder: str, made: int = 0) -> Summary:
    """Count what the masks of images contain.

    Raises:
        DataError: a mask is missing.
    """
    counts: collections.Counter[str] = collections.Counter()
    for path in images:
        parts = read_mask(mask_path(path, folder))
        counts[_lack(parts)] += 1
    return Summary(len(images), counts["person"], counts["head"], counts["leg"], made)


def _lack(parts: np.ndarray) -> str:
    """Return what an image lacks for its own region: ``"person"``, ``"head"``, ``"leg"`` or ""."""
    mask = torch.from_numpy(parts)[None]
    if find_regions(mask, mask, MAP, PARTS).found.item():
        return ""
    if not parts.any() or has_head_and_leg(mask).item():
        return "person"
    return "leg" if has_part(mask, HEAD).item() else "head"


def check_sheet(path: str | Path, images: Sequence[str], folder: str) -> None:
    """Check that the contact sheet can be written, and that it does not replace an image or a mask.

    Raises:
        ConfigError: it is an image or a mask.
        DataError: it cannot be written.
    """
    check_writable(path)
    places = {os.path.realpath(place) for image in images for place in (image, mask_path(image, folder))}
    if os.path.realpath(path) in places:
        raise ConfigError(f"--contact-sheet {path} is an image or a mask of this run: name another file")


def contact_sheet(
    images: Sequence[str], folder: str, path: str | Path, *, count: int = 24, parts: int = 6
) -> Path:
    """Write a sheet of images, their masks, and the resulting regions on the map.

    Args:
        images: the paths, of which ``count`` are shown, evenly spread.
        folder: the folder of the masks.
        path: the PNG file to write.
        count: the number of images on the sheet.
        parts: K, for the lines between the parts.
    """
    tiles = [_tile(image, folder, parts) for image in evenly_spread(images, count)]
    width = max(tile.shape[1] for tile in tiles)
    tiles = [np.pad(tile, ((4, 4), (4, width - tile.shape[1] + 4), (0, 0))) for tile in tiles]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _SHEET_COLUMNS)
    rows = [np.concatenate(tiles[i : i + _SHEET_COLUMNS], 1) for i in range(0, len(tiles), _SHEET_COLUMNS)]
    encoded = cv2.imencode(".png", np.concatenate(rows)[:, :, ::-1])[1]
    return write_aside(path, encoded.tobytes())


def _tile(image_path: str, folder: str, parts: int) -> np.ndarray:
    """Return image, coloured parts, and the masked map with the lines between the parts, side by side."""
    image = np.array(read_image(image_path))
    found = read_mask(mask_path(image_path, folder))
    mask = torch.from_numpy(found)[None]
    regions = find_regions(mask, mask, MAP, PARTS)
    width = round(_SHEET_HEIGHT * image.shape[1] / image.shape[0])
    size = (min(max(width, 1), _WIDEST), _SHEET_HEIGHT)
    shown = np.array(Image.fromarray(image).resize(size))
    coloured = cv2.resize(np.array(TINTS, np.uint8)[found], size, interpolation=cv2.INTER_NEAREST)
    cells = cv2.resize(regions.mask[0].numpy(), size, interpolation=cv2.INTER_NEAREST)
    region = (shown * (0.25 + 0.75 * cells[..., None])).astype(np.uint8)
    top, bottom = (edge.item() * _SHEET_HEIGHT / MAP[0] for edge in (regions.top, regions.bottom))
    for line in np.linspace(top, bottom, parts + 1):
        row = min(round(float(line)), _SHEET_HEIGHT - 1)
        region[row] = (80, 255, 80) if regions.found.item() else (255, 80, 80)
    return np.concatenate([shown, coloured, region], 1)
