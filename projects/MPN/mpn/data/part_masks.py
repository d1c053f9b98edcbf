"""Masks of body parts: the values of their pixels, where they lie, and how they are read and written.

The mask of ``<folder>/<split>/x.jpg`` is ``<folder>/part_masks/<split>/x.png``, an 8-bit PNG of the image's size whose
pixels are the numbers below.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from fastreid_projects.data.demo.figure import PARTS as DRAWN_PARTS
from fastreid_projects.errors import DataError
from fastreid_projects.files import write_aside

BACKGROUND, HEAD, TORSO, ARM, LEG, OTHER = range(6)
PART_NAMES = ("background", "head", "torso", "arm", "leg", "other")
"""``leg`` includes what covers it and the foot; ``other`` is foreground without a name, such as a bag."""
FOLDER = "part_masks"
_DRAWN = {
    "torso": TORSO,
    "sleeves": ARM,
    "arms": ARM,
    "lower": LEG,
    "legs": LEG,
    "shoes": LEG,
    "background": BACKGROUND,
}
_DRAWN |= dict.fromkeys(("head", "hair", "hat"), HEAD)
FROM_DRAWN = np.array([_DRAWN.get(name, OTHER) for name in DRAWN_PARTS], np.uint8)
"""The part of each number in the masks of the synthetic demo set (``fastreid_projects.data.demo``)."""
TINTS = ((0, 0, 0), (255, 190, 80), (220, 50, 50), (60, 190, 90), (60, 110, 230), (170, 80, 200))


def mask_path(image_path: str | Path, folder: str = FOLDER) -> Path:
    """Return where the mask of an image lies.

    Args:
        image_path: the image.
        folder: a name beside the image's folder, or the path of a folder anywhere.
    """
    path = Path(image_path)
    return path.parent.parent / os.path.expanduser(folder) / path.parent.name / f"{path.stem}.png"


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask, uint8 (h, w) of part numbers; masks of the synthetic demo set are translated.

    Raises:
        DataError: the file is missing, is not a PNG of one channel, or holds other numbers.
    """
    try:
        with Image.open(path) as image:
            parts = np.array(image)
            drawn = "attributes" in image.info
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"the mask {path} cannot be read: {error}") from error
    if parts.ndim != 2 or parts.dtype != np.uint8:
        raise DataError(
            f"the mask {path} is not an 8-bit PNG of one channel: make it with 'fastreid-projects make-part-priors'"
        )
    if drawn and parts.max(initial=0) < len(FROM_DRAWN):
        return FROM_DRAWN[parts]
    if parts.max(initial=0) >= len(PART_NAMES):
        raise DataError(
            f"the mask {path} holds the value {parts.max()}; known are 0 to {len(PART_NAMES) - 1} "
            f"({', '.join(PART_NAMES)})"
        )
    return parts


def write_mask(path: str | Path, parts: np.ndarray) -> Path:
    """Write a mask, uint8 (h, w), completely or not at all; its palette shows the parts in colours."""
    image = Image.fromarray(parts, mode="P")
    image.putpalette([value for tint in TINTS for value in tint])
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return write_aside(path, content.getvalue())
