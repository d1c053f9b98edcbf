"""Images that stay bytes, a quarter of the size of floats, from the reader to the device.

| letter | meaning          |
| ------ | ---------------- |
| B      | images           |
| H, W   | height and width |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Rectangle: TypeAlias = tuple[int, int, int, int]


class ByteImage(NamedTuple):
    """An image after all transforms except erasing, as its fill value need not be a whole number.

    Attributes:
        pixels: uint8 (3, H, W), RGB.
        erased: top, left, height and width of the rectangle to erase; None if nothing is erased.
        fill: fill value of the rectangle, for each channel or one for all, in 0..255.
    """

    pixels: npt.NDArray[np.uint8]
    erased: Rectangle | None = None
    fill: tuple[float, ...] = (0.0,)


@runtime_checkable
class ReadsFiles(Protocol):
    """Transforms that can read the image file themselves."""

    def read(self, path: str) -> ByteImage:
        """Read an image and transform it."""


class ByteBatch(NamedTuple):
    """Images of one size.

    Attributes:
        pixels: uint8 (B, 3, H, W), RGB.
        erased: the rectangle of each image, see :class:`ByteImage`.
        fill: float32 (1, 1, 1) or (3, 1, 1).
    """

    pixels: Tensor
    erased: list[Rectangle | None]
    fill: Tensor

    @classmethod
    def stack(cls, images: Sequence[ByteImage]) -> ByteBatch:
        """Stack images.

        Raises:
            ValueError: their sizes differ.
        """
        pixels = torch.from_numpy(np.stack([image.pixels for image in images]))
        fill = torch.tensor(images[0].fill).view(-1, 1, 1)
        return cls(pixels, [image.erased for image in images], fill)

    def floats(self) -> Tensor:
        """Return the input of a model on the device of the bytes: float32 (B, 3, H, W) in 0..255, erased."""
        images = self.pixels.float()
        for image, rectangle in zip(images, self.erased, strict=True):
            if rectangle is not None:
                top, left, height, width = rectangle
                image[:, top : top + height, left : left + width] = self.fill
        return images


def with_floats(batch: Any) -> Any:
    """Return a batch in which every :class:`ByteBatch` is converted to floats."""
    if isinstance(batch, ByteBatch):
        return batch.floats()
    if isinstance(batch, Mapping):
        return {key: with_floats(value) for key, value in batch.items()}
    return batch
