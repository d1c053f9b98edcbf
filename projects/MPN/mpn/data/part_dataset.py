"""Images with masks of body parts and shifted copies, for the host's loaders and samplers."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from fastreid.data import data_utils
from fastreid.data.build import CommDataset
from fastreid.utils import comm
from PIL import Image

from fastreid_projects.contract import Source
from fastreid_projects.data.byte_transforms import as_bytes
from fastreid_projects.data.images import upright_size
from fastreid_projects.errors import ConfigError, DataError

from .joint import JointTransform
from .part_masks import mask_path, read_mask

logger = logging.getLogger("fastreid.projects.data")

MODES = ("offline", "online")


class Translation(NamedTuple):
    """Random shifts of the training images (Zhao et al. 2017).

    Attributes:
        mode: ``"offline"``: each image ``fold`` times, once unmoved and ``fold - 1`` times with its own fixed shift;
            ``"online"``: each image once, with a new shift whenever it is read.
        fold: the number of copies, offline.
        limit: the longest shift as a share of height and width; shifts are drawn uniformly.
    """

    mode: str
    fold: int
    limit: float

    @classmethod
    def from_config(cls, node: Any) -> Translation | None:
        """Read a node with MODE, FOLD and LIMIT; None for the mode "none".

        Raises:
            ConfigError: a value is out of range.
        """
        if node.MODE == "none":
            return None
        if node.MODE not in MODES:
            raise ConfigError(
                f"TRANSLATION.MODE is '{node.MODE}'; it has to be one of none, {', '.join(MODES)}"
            )
        if node.FOLD < 1 or not 0 <= node.LIMIT < 1:
            raise ConfigError(
                f"TRANSLATION.FOLD {node.FOLD} has to be at least 1 and TRANSLATION.LIMIT {node.LIMIT} in [0, 1)"
            )
        return cls(node.MODE, node.FOLD, node.LIMIT)

    def copies(self) -> int:
        """Return how many times each image is in the training set."""
        return self.fold if self.mode == "offline" else 1

    def shift(self, index: int, size: tuple[int, int]) -> tuple[int, int]:
        """Return the shift (right, down) in pixels of the ``index``-th item, an image of (width, height)."""
        if self.mode == "offline":
            if index % self.fold == 0:
                return 0, 0
            draw = random.Random(index)
        else:
            draw = random  # type: ignore[assignment]
        right, down = (round(draw.uniform(-self.limit, self.limit) * length) for length in size)
        return right, down


def shifted(image: Image.Image, right: int, down: int) -> Image.Image:
    """Return the moved image, with 0 where there was nothing."""
    width, height = image.size
    return image.transform((width, height), Image.Transform.AFFINE, (1, 0, -right, 0, 1, -down))


def with_part_masks(sources: Sequence[Source], transform: Any, **arguments: Any) -> PartMaskDataset:
    """Return the images of the sources with masks or shifts, as a dataset for the host's loaders.

    Args:
        sources: the opened datasets.
        transform: the host's transform list.
        **arguments: arguments of :class:`PartMaskDataset`.
    """
    items = [item for source in sources for item in source.items]
    return PartMaskDataset(items, as_bytes(transform), **arguments)


class PartMaskDataset(CommDataset):
    """The host's dataset with ``part_masks`` and ``whole_part_masks``, uint8 (h, w), and with shifted images.

    Both hold the numbers of :mod:`.part_masks` after all transforms; in the first one, an erased or pasted rectangle
    is 0. An image without a usable mask has zeros.

    Args:
        items: (path, pid, camid).
        transform: the host's transform list.
        relabel: whether to number identities and cameras from 0, as in training.
        folder: the folder of the masks, see ``mask_path``; None for no masks.
        strict: whether an unusable mask is an error instead of a warning.
        translation: the shifts of the training images.

    Raises:
        DataError: no mask at all is usable, or, with ``strict``, one is missing, empty or of another size than its
            image.
        ConfigError: a mask cannot follow a transform.
    """

    def __init__(
        self,
        items: Sequence[tuple[Any, ...]],
        transform: Callable[[Any], Any],
        relabel: bool = True,
        *,
        folder: str | None = None,
        strict: bool = False,
        translation: Translation | None = None,
    ) -> None:
        copies = translation.copies() if translation is not None else 1
        super().__init__([item for item in items for _ in range(copies)], transform, relabel)
        self.folder, self.translation = folder, translation
        self.joint = JointTransform(transform) if folder is not None else None
        self.unusable: set[str] = set()
        if folder is not None:
            self.unusable = _check_masks([item[0] for item in items], folder, strict)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the host's item with the masks."""
        path, pid, camid = self.img_items[index][:3]
        image = data_utils.read_image(path)
        mask = self._mask(path, image)
        if self.translation is not None:
            right, down = self.translation.shift(index, image.size)
            image, mask = shifted(image, right, down), np.asarray(shifted(Image.fromarray(mask), right, down))
        item: dict[str, Any] = {
            "targets": self.pid_dict[pid] if self.relabel else pid,
            "camids": self.cam_dict[camid] if self.relabel else camid,
            "img_paths": path,
        }
        if self.joint is None:
            return {"images": self.transform(image), **item}
        sample = self.joint.carry(image, mask)
        masks = {"part_masks": sample.visible, "whole_part_masks": sample.mask}
        return {"images": sample.image, **item, **masks}

    def _mask(self, path: str, image: Image.Image) -> np.ndarray:
        if self.folder is None or path in self.unusable:
            return np.zeros((image.height, image.width), np.uint8)
        return read_mask(mask_path(path, self.folder))


def _check_masks(paths: Sequence[str], folder: str, strict: bool) -> set[str]:
    """Return the images without a usable mask, and warn of them; refuse them if strict or if there are no others."""
    found: dict[str, list[str]] = {}
    for path in paths:
        reason = unusable_mask(path, folder)
        if reason:
            found.setdefault(reason, []).append(path)
    if not found:
        return set()
    count = sum(map(len, found.values()))
    kinds = "; ".join(
        f"{len(images)} {reason}, e.g. {mask_path(images[0], folder)}" for reason, images in found.items()
    )
    sentence = f"{count} of {len(paths)} images have no usable mask of body parts ({kinds})"
    if count == len(paths):
        raise DataError(
            f"{sentence}: make them with 'fastreid-projects make-part-priors', name their folder in "
            "MODEL.MPN.PRIOR.FOLDER, or set MODEL.MPN.PRIOR.TYPE uniform"
        )
    if strict:
        raise DataError(
            f"{sentence}: make them with 'fastreid-projects make-part-priors', or switch STRICT off"
        )
    if comm.is_main_process():
        logger.warning("%s: they are divided evenly", sentence)
    return {path for images in found.values() for path in images}


def unusable_mask(image_path: str, folder: str) -> str:
    """Return why a mask cannot be used: ``"missing"``, ``"unreadable"``, ``"empty"``, ``"of another size"`` or "".

    Raises:
        DataError: the image itself is missing or not an image.
    """
    path = mask_path(image_path, folder)
    if not path.is_file():
        return "missing"
    try:
        parts = read_mask(path)
    except DataError:
        return "unreadable"
    if parts.shape != upright_size(image_path):
        return "of another size"
    return "" if parts.any() else "empty"
