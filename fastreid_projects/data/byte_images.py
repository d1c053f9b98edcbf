"""Images as bytes, a quarter of their floats, from where they are read to the device that trains.

| letter | meaning          |
| ------ | ---------------- |
| B      | images           |
| H, W   | height and width |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class ByteImage(NamedTuple):
    """An image after all its transforms, but not yet erased: the value that erases need not be a whole number.

    Attributes:
        pixels: uint8 (H, W, 3), RGB.
        erased: top, left, height and width of the rectangle to erase; zeros where there is none.
        fill: what erases it: of each channel, or one number for all, in 0..255.
    """

    pixels: npt.NDArray[np.uint8]
    erased: tuple[int, int, int, int] = (0, 0, 0, 0)
    fill: tuple[float, ...] = (0.0,)


class ByteBatch(NamedTuple):
    """Images of one size.

    Attributes:
        pixels: uint8 (B, H, W, 3), RGB.
        erased: int64 (B, 4), see :class:`ByteImage`; None where no image of the batch has a rectangle.
        fill: float32 (1,) or (3,).
    """

    pixels: Tensor
    erased: Tensor | None
    fill: Tensor

    @classmethod
    def stack(cls, images: Sequence[ByteImage]) -> ByteBatch:
        """Stack images.

        Raises:
            ValueError: their sizes differ.
        """
        erased = [image.erased for image in images]
        return cls(
            torch.from_numpy(np.stack([image.pixels for image in images])),
            torch.tensor(erased) if any(map(any, erased)) else None,
            torch.tensor(images[0].fill),
        )

    def floats(self) -> Tensor:
        """Return what a model takes, on the device of the bytes: float32 (B, 3, H, W) in 0..255, erased."""
        channels_first = self.pixels.permute(0, 3, 1, 2)
        images = channels_first.to(torch.float32, memory_format=torch.contiguous_format)
        if self.erased is None:
            return images
        top, left, height, width = self.erased[:, :, None].unbind(1)
        rows = _inside(top, height, images.shape[2])
        columns = _inside(left, width, images.shape[3])
        covered = rows[:, None, :, None] & columns[:, None, None, :]
        return torch.where(covered, self.fill.view(1, -1, 1, 1), images)


def _inside(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Return where positions lie within the intervals from ``start`` (B, 1), bool (B, size)."""
    place = torch.arange(size, device=start.device)
    return (place >= start) & (place < start + length)


def with_floats(batch: Any) -> Any:
    """Return a batch with every :class:`ByteBatch` in it turned to floats."""
    if isinstance(batch, ByteBatch):
        return batch.floats()
    if isinstance(batch, Mapping):
        return {key: with_floats(value) for key, value in batch.items()}
    return batch
