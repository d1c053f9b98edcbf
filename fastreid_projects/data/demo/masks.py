"""Pixel masks: the body part that each pixel shows, and the pixels of each visible attribute.

| letter | meaning                            |
| ------ | ---------------------------------- |
| H, W   | height and width of the image      |
| M      | number of attributes, 26           |

On disk the masks of ``<split>/x.jpg`` are ``masks/<split>/x.png``: one palette PNG whose pixels are indices
into ``PARTS``, with the identity's 26 values as a text entry ``attributes`` ("01101..."). An attribute's mask
follows from the two: the pixels of the parts on which it is visible, none if the thing or colour is absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from fastreid_projects.data.attributes import DEMO
from fastreid_projects.data.demo.figure import PART, PARTS
from fastreid_projects.data.demo.person import LOWER, UPPER
from fastreid_projects.errors import DataError

UPPER_PARTS = ("torso", "sleeves")
_BODY = ("head", "hair", "torso", "sleeves", "arms", "lower", "legs", "shoes")
ATTRIBUTE_PARTS: dict[str, tuple[str, ...]] = {
    "gender": _BODY,
    "hair": ("hair",),
    "up": ("sleeves", "arms"),
    "down": ("lower", "legs"),
    "clothes": ("lower",),
    "hat": ("hat",),
    "backpack": ("backpack",),
    "bag": ("bag",),
    "handbag": ("handbag",),
    **dict.fromkeys(UPPER, UPPER_PARTS),
    **dict.fromkeys(LOWER, ("lower",)),
}
"""The parts on which an attribute is visible. Gender: the whole body without carried things. Sleeves: the arms, covered
or bare. Length of the lower clothing: the clothing and the bare legs below it."""
_TINTS = np.array(
    [
        (0, 0, 0),
        (255, 206, 160),
        (120, 70, 30),
        (255, 120, 0),
        (220, 40, 40),
        (250, 120, 130),
        (255, 226, 200),
        (40, 80, 220),
        (230, 180, 140),
        (40, 200, 90),
        (160, 60, 200),
        (250, 220, 50),
        (50, 210, 220),
    ],
    np.uint8,
)


@dataclass(frozen=True)
class DemoMasks:
    """The masks of one image.

    Attributes:
        parts: uint8 (H, W), indices into ``PARTS``; 0 is everything that is not this person.
        values: the person's 26 attribute values, 0 or 1.
    """

    parts: np.ndarray
    values: tuple[int, ...]

    def part(self, name: str) -> np.ndarray:
        """Return the pixels of a part, bool (H, W)."""
        return self.parts == PART[name]

    def attribute(self, name: str) -> np.ndarray:
        """Return the pixels on which the attribute called ``name`` is visible, bool (H, W).

        All are False for a thing or colour that the person does not have, or that is not visible in this image.
        """
        position = DEMO.index(name)
        if DEMO.attributes[position].is_thing and not self.values[position]:
            return np.zeros(self.parts.shape, bool)
        shown = np.zeros(len(PARTS), bool)
        shown[[PART[part] for part in ATTRIBUTE_PARTS[name]]] = True
        return shown[self.parts]

    def attributes(self) -> np.ndarray:
        """Return the masks of all attributes, bool (M, H, W) in the order of ``DEMO``."""
        return np.stack([self.attribute(name) for name in DEMO.names])

    def save(self, path: Path) -> None:
        """Write the PNG."""
        image = Image.fromarray(self.parts, mode="P")
        image.putpalette(_TINTS.tobytes())
        text = PngImagePlugin.PngInfo()
        text.add_text("attributes", "".join(map(str, self.values)))
        image.save(path, pnginfo=text, compress_level=6)


def mask_path(image_path: str | Path) -> Path:
    """Return the path of an image's masks."""
    path = Path(image_path)
    return path.parent.parent / "masks" / path.parent.name / f"{path.stem}.png"


def load_masks(image_path: str | Path) -> DemoMasks:
    """Read the masks of an image of the synthetic demo set.

    Raises:
        DataError: the image has no masks, or they cannot be read.
    """
    path = mask_path(image_path)
    try:
        with Image.open(path) as image:
            parts = np.array(image)
            text = image.info.get("attributes", "")
    except OSError as error:
        raise DataError(f"the masks {path} of {image_path} cannot be read: {error}") from error
    if parts.ndim != 2 or len(text) != len(DEMO):
        raise DataError(f"the file {path} does not hold masks of the synthetic demo set")
    return DemoMasks(parts, tuple(map(int, text)))


def attribute_masks(image_path: str | Path) -> np.ndarray:
    """Return the masks of all attributes of an image, bool (M, H, W) in the order of ``DEMO``."""
    return load_masks(image_path).attributes()
