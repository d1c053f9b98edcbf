"""The host's transforms (data/transforms/build.py) with images that stay bytes: the same numbers, the same pixels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torchvision.transforms as T
from fastreid.data.transforms import autoaugment
from fastreid.data.transforms.transforms import AugMix, ToTensor
from PIL import Image

from fastreid_projects.data.byte_images import ByteImage

logger = logging.getLogger("fastreid.projects.data")

# They take an image of bytes and return one.
_OF_BYTES = (
    *(T.Resize, T.RandomResizedCrop, T.CenterCrop, T.RandomCrop, T.Pad, T.RandomHorizontalFlip),
    *(T.RandomApply, T.ColorJitter, T.RandomAffine, autoaugment.AutoAugment, AugMix),
)


class PaddedCrop:
    """Pad by black and crop at a random place, in one step; draws what ``RandomCrop`` does.

    Args:
        padding: pixels on each side.
        size: (height, width) of the crop.
    """

    def __init__(self, padding: int, size: tuple[int, int]) -> None:
        self.padding, self.size = padding, size

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return an image of ``size``."""
        padded = torch.empty(1).expand(1, image.height + 2 * self.padding, image.width + 2 * self.padding)
        top, left, height, width = T.RandomCrop.get_params(padded, self.size)
        x, y = left - self.padding, top - self.padding
        return image.crop((x, y, x + width, y + height))  # PIL has black where there is no image


class ByteTransform:
    """Transforms of an image that end in bytes; made by :func:`as_bytes`.

    Args:
        steps: from image to image.
        erasing: the last of all transforms; None to erase nothing.
        least_size: (height, width) that a larger JPEG may be decoded to, see ``read_image``; None for its own.

    Attributes:
        steps: see above.
        least_size: see above.
    """

    def __init__(
        self,
        steps: list[Callable[[Any], Any]],
        erasing: T.RandomErasing | None,
        least_size: tuple[int, int] | None,
    ) -> None:
        self.steps, self.least_size = steps, least_size
        self._erasing = erasing
        self._fill = _fill_of(erasing) if erasing is not None else (0.0,)

    def __call__(self, image: Image.Image) -> ByteImage:
        """RGB image -> bytes."""
        for step in self.steps:
            image = step(image)
        return self.finish(image)

    def finish(self, image: Any) -> ByteImage:
        """Make bytes of an image after all steps, and draw what is erased."""
        pixels = np.asarray(image)
        return ByteImage(pixels, self._rectangle(pixels.shape[0], pixels.shape[1]), self._fill)

    def _rectangle(self, height: int, width: int) -> tuple[int, int, int, int]:
        if self._erasing is None or not torch.rand(1) < self._erasing.p:
            return 0, 0, 0, 0
        whole = torch.empty(1).expand(3, height, width)
        *rectangle, value = T.RandomErasing.get_params(
            whole, self._erasing.scale, self._erasing.ratio, [*self._fill]
        )
        top, left, rows, columns = (0, 0, 0, 0) if value is whole else rectangle  # none was found that fits
        return top, left, rows, columns


def as_bytes(transforms: Any, *, reduced: bool = False) -> Any:
    """Return transforms whose images stay bytes until they are on the device.

    They draw the same random numbers and give, after :meth:`.byte_images.ByteBatch.floats`, the same images bit by
    bit. For datasets whose samples go to this project's loaders; what computes with an image before is given floats.

    Args:
        transforms: what ``fastreid.data.transforms.build_transforms`` returns.
        reduced: decode a JPEG that is several times larger than ``Resize`` makes it at a reduced size.

    Returns:
        A :class:`ByteTransform`; ``transforms`` themselves where one needs floats, which the log says.
    """
    if not isinstance(transforms, T.Compose):
        return transforms
    kinds = [type(step) for step in transforms.transforms]
    if ToTensor not in kinds:
        return transforms
    end = kinds.index(ToTensor)
    before, after = transforms.transforms[:end], transforms.transforms[end + 1 :]
    slow = [step for step in before if not isinstance(step, _OF_BYTES)]
    slow += [step for step in after[:1] if not _can_be_drawn(step)] + after[1:]
    if slow:
        names = ", ".join(dict.fromkeys(type(step).__name__ for step in slow))
        logger.info(f"Images travel as floats, four times their bytes: {names} needs them")
        return transforms
    return ByteTransform(_joined(before), after[0] if after else None, _least(before) if reduced else None)


def _can_be_drawn(step: Any) -> bool:
    """Return whether it erases by a value that is known before."""
    return isinstance(step, T.RandomErasing) and not isinstance(step.value, str)


def _fill_of(erasing: T.RandomErasing) -> tuple[float, ...]:
    value = erasing.value
    return tuple(map(float, value)) if isinstance(value, (list, tuple)) else (float(value),)


def _joined(steps: list[Any]) -> list[Any]:
    """Make one step of each padding by black and its crop."""
    joined: list[Any] = []
    for step in steps:
        last = joined[-1] if joined else None
        if type(step) is T.RandomCrop and _pads_by_black(last):
            joined[-1] = PaddedCrop(last.padding, step.size)
        else:
            joined.append(step)
    return joined


def _pads_by_black(step: Any) -> bool:
    return (
        isinstance(step, T.Pad)
        and step.padding_mode == "constant"
        and step.fill == 0
        and isinstance(step.padding, int)
    )


def _least(steps: list[Any]) -> tuple[int, int] | None:
    """Height and width of a ``Resize`` that comes first."""
    first = steps[0] if steps else None
    if not isinstance(first, T.Resize) or isinstance(first.size, int) or len(first.size) != 2:
        return None
    height, width = first.size
    return height, width
