"""Makes the folder of body part masks for a dataset: in several processes, resumable, with a summary and a sheet."""

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
"""Height and width of the map of a 384 x 128 image, on which the regions are found for the summary and the sheet."""
PARTS = 6
"""K of the paper, for the same."""
_CHUNK = 16
_SHEET_HEIGHT, _SHEET_COLUMNS, _WIDEST = 192, 6, 768


class Summary(NamedTuple):
    """What the masks of a folder hold.

    Attributes:
        images: how many.
        empty: without any part, or with a body of fewer rows of the map than there are parts.
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
    """Absolute paths of the images right in a folder.

    Raises:
        DataError: there are none, or no such folder.
    """
    if not Path(folder).is_dir():
        what = "is a file, not a folder of images" if Path(folder).exists() else "does not exist"
        raise DataError(f"the folder {folder} {what}: name a folder with --images")
    absolute = Path(os.path.abspath(folder))  # masks lie beside the folder, whose name "." does not tell
    found = sorted(str(p) for p in absolute.glob("*") if is_picture(p.name))
    if not found:
        raise DataError(f"the folder {folder} holds no image that Pillow reads")
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
    """Write the masks of images; those that are there already and can be used stay.

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
        ConfigError: an unknown provider, something that it needs is missing, or a mask would lie among the images.
        WeightsError: a model of it is missing.
        DataError: two images have one mask, an image cannot be read, a mask cannot be written, or a process was ended
            from outside; what was made before stays.
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
    with tqdm(total=len(images), initial=len(images) - len(missing), unit="image", desc=provider) as bar:
        for count in make_masks(chunks, provider, options, folder, workers):
            bar.update(count)
    return summarize(images, folder, made=len(missing))


def check_mask_paths(images: Sequence[str], folder: str) -> None:
    """See that no mask lies among the images, and that each is of one image.

    Raises:
        ConfigError: the folder of a mask is one of the images, or the mask is an image or the drawn people's own.
        DataError: two images have one mask.
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
                f"--folder '{folder}' holds the drawn people's own masks, as {mask}: name another folder, e.g. {FOLDER}"
            )
        other = owners.setdefault(place, path)
        if real[other] != real[path]:
            raise DataError(
                f"the images {other} and {path} have one mask, {mask}: rename one of them, or let --folder be a name "
                f"beside the image folders, e.g. {FOLDER}"
            )


def _holds_drawn_truth(image_path: str, mask: Path) -> bool:
    """Whether a mask's place is taken by what was drawn with the image."""
    if os.path.realpath(mask) != os.path.realpath(drawn_masks.mask_path(image_path)):
        return False
    try:
        drawn_masks.load_masks(image_path)
    except DataError:
        return False
    return True


def _usable(image_path: str, folder: str) -> bool:
    """Whether an image's mask is there, whole and of its size; it may be empty."""
    return unusable_mask(image_path, folder) in ("", "empty")


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
    mask = torch.from_numpy(parts)[None]
    if find_regions(mask, mask, MAP, PARTS).found.item():
        return ""
    if not parts.any() or has_head_and_leg(mask).item():
        return "person"
    return "leg" if has_part(mask, HEAD).item() else "head"


def check_sheet(path: str | Path, images: Sequence[str], folder: str) -> None:
    """See that the contact sheet can be written, and that it replaces no image and no mask.

    Raises:
        ConfigError: it is one of them.
        DataError: it cannot be written.
    """
    check_writable(path)
    places = {os.path.realpath(place) for image in images for place in (image, mask_path(image, folder))}
    if os.path.realpath(path) in places:
        raise ConfigError(f"--contact-sheet {path} is an image or a mask of this run: name another file")


def contact_sheet(
    images: Sequence[str], folder: str, path: str | Path, *, count: int = 24, parts: int = 6
) -> Path:
    """Write a sheet of images, their masks, and the regions that follow on the map.

    Args:
        images: paths, of which ``count`` are shown, evenly spread.
        folder: of the masks.
        path: the PNG to write.
        count: images on the sheet.
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
    """Image, parts in colours, and the masked map with the lines between the parts, side by side."""
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
