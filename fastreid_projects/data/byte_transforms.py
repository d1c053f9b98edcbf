"""The host's transforms (data/transforms/build.py) for images that stay bytes, with the same random numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
import torchvision.transforms as T
from fastreid.data.transforms import autoaugment
from fastreid.data.transforms.transforms import AugMix, ToTensor
from PIL import Image
from torchvision.transforms import InterpolationMode

from fastreid_projects.data.byte_images import ByteImage, Rectangle
from fastreid_projects.data.pixels import read_pixels

logger = logging.getLogger("fastreid.projects.data")

Pixels = npt.NDArray[np.uint8]
# Steps from an image of bytes to an image of bytes.
_OF_BYTES = (
    *(T.Resize, T.RandomResizedCrop, T.CenterCrop, T.RandomCrop, T.Pad, T.RandomHorizontalFlip),
    *(T.RandomApply, T.ColorJitter, T.RandomAffine, autoaugment.AutoAugment, AugMix),
)


class _Erasing:
    """The last step, random erasing: the rectangle is drawn here and erased on the device.

    Args:
        erasing: the host's transform; None to erase nothing.
    """

    def __init__(self, erasing: T.RandomErasing | None) -> None:
        self._erasing = erasing
        self._fill = _fill_of(erasing) if erasing is not None else (0.0,)

    def finish(self, pixels: Pixels) -> ByteImage:
        """Draw the rectangle to erase from pixels (3, H, W), after all steps."""
        return ByteImage(pixels, self._rectangle(*pixels.shape[1:]), self._fill)

    def _rectangle(self, height: int, width: int) -> Rectangle | None:
        if self._erasing is None or not torch.rand(1) < self._erasing.p:
            return None
        whole = torch.empty(1).expand(3, height, width)
        scale, ratio = self._erasing.scale, self._erasing.ratio
        *rectangle, value = T.RandomErasing.get_params(whole, scale, ratio, [*self._fill])
        if value is whole:  # no fitting rectangle was found
            return None
        top, left, rows, columns = rectangle
        return top, left, rows, columns


class ByteTransform(_Erasing):
    """Transforms of a PIL image that return its pixels as bytes.

    Args:
        steps: functions from image to image.
        erasing: see :class:`_Erasing`.
    """

    def __init__(self, steps: list[Callable[[Any], Any]], erasing: T.RandomErasing | None) -> None:
        super().__init__(erasing)
        self.steps = steps

    def __call__(self, image: Image.Image) -> ByteImage:
        """RGB image -> bytes."""
        for step in self.steps:
            image = step(image)
        return self.finish(planes(image))


class FastTransform(_Erasing):
    """Resize, pad with black, crop and flip, without PIL.

    PyTorch's resize is several times as fast as PIL's; it rounds some pixels to the neighbouring grey value.

    Args:
        size: (height, width) to resize to; None leaves the image as it is.
        padding: width of the black border on each side, in pixels.
        crop: (height, width) of a random crop after padding; None neither pads nor crops.
        flip: probability of a flip; None draws no random number.
        erasing: see :class:`_Erasing`.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int] | None,
        padding: int,
        crop: tuple[int, int] | None,
        flip: float | None,
        erasing: T.RandomErasing | None,
    ) -> None:
        super().__init__(erasing)
        self.size, self.padding, self.crop, self.flip = size, padding, crop, flip

    def read(self, path: str) -> ByteImage:
        """Read an image as ``read_pixels`` does, and transform it."""
        return self._transformed(read_pixels(path, self.size))

    def __call__(self, image: Image.Image) -> ByteImage:
        """RGB image -> bytes."""
        return self._transformed(np.array(image))

    def _transformed(self, pixels: Pixels) -> ByteImage:
        if self.size not in (None, pixels.shape[:2]):
            pixels = self._resized(pixels)
        if self.crop is not None:
            pixels = self._cropped(pixels, self.crop)
        if self.flip is not None and torch.rand(1) < self.flip:
            pixels = cv2.flip(pixels, 1)  # type: ignore[assignment]
        return self.finish(planes(pixels))

    def _resized(self, pixels: Pixels) -> Pixels:
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        resized = F.interpolate(image, self.size, mode="bicubic", antialias=True)[0]
        return cv2.merge([*resized.numpy()])

    def _cropped(self, pixels: Pixels, size: tuple[int, int]) -> Pixels:
        """Crop the padded image without creating it."""
        height, width = pixels.shape[:2]
        padded = torch.empty(1).expand(1, height + 2 * self.padding, width + 2 * self.padding)
        top, left, rows, columns = T.RandomCrop.get_params(padded, size)
        y, x = top - self.padding, left - self.padding
        inside = pixels[max(y, 0) : y + rows, max(x, 0) : x + columns]
        cropped = np.zeros((rows, columns, 3), np.uint8)
        y, x = max(-y, 0), max(-x, 0)
        cropped[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
        return cropped


def planes(image: Any) -> Pixels:
    """Return the pixels (3, h, w) of an RGB image or of an array (h, w, 3) of bytes."""
    pixels = np.ascontiguousarray(image)
    apart = np.empty((3, *pixels.shape[:2]), np.uint8)
    cv2.split(pixels, [*apart])
    return apart


def as_bytes(transforms: Any, *, exact: bool = True) -> Any:
    """Return transforms whose images stay bytes until they are on the device.

    They draw the same random numbers, and after :meth:`.byte_images.ByteBatch.floats` the images are equal bit by bit.
    They are for datasets whose samples go to this project's loaders; transforms that compute with floats get floats.

    Args:
        transforms: the result of ``fastreid.data.transforms.build_transforms``.
        exact: False, for training, allows a fast version of transforms that only resize, pad, crop and flip: it
            resizes several times as fast, with rounding to a neighbouring grey value in some pixels, and decodes a JPEG
            that is several times too large at a reduced size.

    Returns:
        A :class:`ByteTransform` or :class:`FastTransform`; or ``transforms`` unchanged, which is logged, if one of them
        needs floats.
    """
    if not isinstance(transforms, T.Compose):
        return transforms
    kinds = [type(step) for step in transforms.transforms]
    if ToTensor not in kinds:
        return transforms
    end = kinds.index(ToTensor)
    before, after = transforms.transforms[:end], transforms.transforms[end + 1 :]
    floats = [step for step in before if not isinstance(step, _OF_BYTES)]
    floats += [step for step in after[:1] if not _can_be_drawn(step)] + after[1:]
    if floats:
        names = ", ".join(dict.fromkeys(type(step).__name__ for step in floats))
        logger.info(
            f"Images are loaded as floats, which takes four times the memory of bytes, because of {names}"
        )
        return transforms
    erasing = after[0] if after else None
    if exact:
        return ByteTransform(before, erasing)
    return _fast(before, erasing) or _said_slow(before, erasing)


def _can_be_drawn(step: Any) -> bool:
    """Return whether the step erases with a fill value that is known in advance."""
    return isinstance(step, T.RandomErasing) and not isinstance(step.value, str)


def _fill_of(erasing: T.RandomErasing) -> tuple[float, ...]:
    value = erasing.value
    return tuple(map(float, value)) if isinstance(value, (list, tuple)) else (float(value),)


def _fast(steps: list[Any], erasing: T.RandomErasing | None) -> FastTransform | None:
    """Return the fast version of [Resize] [Pad, RandomCrop] [RandomHorizontalFlip]; None for other steps."""
    left = list(steps)
    resize = left.pop(0) if left and _resizes(left[0]) else None
    padded = len(left) > 1 and _pads_by_black(left[0]) and type(left[1]) is T.RandomCrop
    pad, crop = (left.pop(0), left.pop(0)) if padded else (None, None)
    flip = left.pop(0) if left and type(left[0]) is T.RandomHorizontalFlip else None
    if left:
        return None
    return FastTransform(
        size=tuple(resize.size) if resize is not None else None,
        padding=pad.padding if pad is not None else 0,
        crop=crop.size if crop is not None else None,
        flip=flip.p if flip is not None else None,
        erasing=erasing,
    )


def _said_slow(steps: list[Any], erasing: T.RandomErasing | None) -> ByteTransform:
    others = [
        step
        for step in steps
        if not (
            _resizes(step) or _pads_by_black(step) or isinstance(step, (T.RandomCrop, T.RandomHorizontalFlip))
        )
    ]
    names = ", ".join(dict.fromkeys(type(step).__name__ for step in others or steps))
    logger.info(f"Images are transformed by PIL, which is slower, because of {names}")
    return ByteTransform(steps, erasing)


def _resizes(step: Any) -> bool:
    """Return whether the step is a bicubic resize to a height and a width."""
    return (
        type(step) is T.Resize
        and step.interpolation == InterpolationMode.BICUBIC
        and not isinstance(step.size, int)
        and len(step.size) == 2
    )


def _pads_by_black(step: Any) -> bool:
    return (
        type(step) is T.Pad
        and step.padding_mode == "constant"
        and step.fill == 0
        and isinstance(step.padding, int)
    )
