"""The host's training transforms, applied to an image and a mask together.

The host's transforms take only an image and do not return what they drew. Here each one is handled by its type: it
runs on the image as usual, and if it moves pixels, it runs once more on the mask with the same random numbers, with the
nearest pixel, and 0 where there was nothing. Colours do not affect the mask; an erased or pasted rectangle covers it.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torchvision.transforms as T
from fastreid.data.transforms import autoaugment
from fastreid.data.transforms.transforms import AugMix, RandomPatch, ToTensor
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode

from fastreid_projects.data.byte_transforms import ByteTransform, planes
from fastreid_projects.errors import ConfigError

_MOVING = (
    autoaugment.shear_x,
    autoaugment.shear_y,
    autoaugment.translate_x_rel,
    autoaugment.translate_y_rel,
    autoaugment.translate_x_abs,
    autoaugment.translate_y_abs,
    autoaugment.rotate,
)


@dataclass(frozen=True)
class Sample:
    """An image and its mask on their way through the transforms.

    Attributes:
        image: a PIL image or array; in the end a float tensor (3, h, w) or a ByteImage.
        mask: a PIL image of mode L; in the end a uint8 tensor (h, w).
        covered: bool (h, w), what was erased or pasted over since the image became a tensor.
    """

    image: Any
    mask: Any
    covered: Tensor | None = None

    @property
    def visible(self) -> Tensor:
        """The mask with 0 where it is covered, uint8 (h, w)."""
        mask: Tensor = self.mask
        return mask if self.covered is None else mask.masked_fill(self.covered, 0)


class JointTransform:
    """A transform list of the host for images and masks.

    Args:
        transforms: the result of ``fastreid.data.transforms.build_transforms``, or of ``as_bytes`` on it.

    Raises:
        ConfigError: a transform has an unknown type, so that it may or may not move pixels (``carry.register`` adds a
            type), or one that moves pixels comes after ToTensor.
    """

    def __init__(self, transforms: Callable[[Any], Any]) -> None:
        self.transforms = transforms
        check_known(transforms)

    def __call__(self, image: Image.Image, mask: np.ndarray) -> tuple[Any, Tensor]:
        """Turn an RGB image and a uint8 mask (h, w) into an image (3, h', w') and a mask (h', w'), 0 if erased."""
        sample = self.carry(image, mask)
        return sample.image, sample.visible

    def carry(self, image: Image.Image, mask: np.ndarray) -> Sample:
        """Do the same, but return a sample, whose mask has not been erased."""
        return carry(self.transforms, Sample(image, Image.fromarray(mask)))


def check_known(transform: Any) -> None:
    """Check that ``carry`` knows every transform, and that none moves pixels once the mask is a tensor.

    Raises:
        ConfigError: a transform is unknown, or comes too late.
    """
    after = None
    for step in _steps(transform):
        how = carry.dispatch(type(step))
        if how is carry.dispatch(object):
            raise _unknown(step)
        if after is not None and how in (_move, _auto_augment):
            raise ConfigError(
                f"the transform {type(step).__name__} moves pixels after {type(after).__name__}, where no mask can "
                "follow it: put it before ToTensor"
            )
        if how in (_to_tensor, _erase, _patch):
            after = step


def _steps(transform: Any) -> Iterator[Any]:
    """Yield the transform, or the transforms inside it, in their order."""
    if isinstance(transform, (T.Compose, T.RandomApply)):
        for inner in transform.transforms:
            yield from _steps(inner)
    elif isinstance(transform, ByteTransform):
        for inner in transform.steps:
            yield from _steps(inner)
    else:
        yield transform


@functools.singledispatch
def carry(transform: Any, sample: Sample) -> Sample:
    """Apply one transform to a sample; ``carry.register(Type)`` adds a type."""
    raise _unknown(transform)


def _unknown(transform: Any) -> ConfigError:
    return ConfigError(
        f"it is unknown whether the transform {type(transform).__name__} moves pixels, so a mask cannot follow it: "
        "switch it off, train without masks, or register it with fastreid_projects.mpn.data.joint.carry"
    )


@carry.register
def _compose(transform: T.Compose, sample: Sample) -> Sample:
    for inner in transform.transforms:
        sample = carry(inner, sample)
    return sample


@carry.register
def _random_apply(transform: T.RandomApply, sample: Sample) -> Sample:
    if transform.p < torch.rand(1):
        return sample
    for inner in transform.transforms:
        sample = carry(inner, sample)
    return sample


@carry.register(T.ColorJitter)
@carry.register(T.Grayscale)
@carry.register(T.RandomGrayscale)
@carry.register(T.GaussianBlur)
@carry.register(AugMix)  # blends warped copies into the image, which itself does not move
def _colours(transform: Any, sample: Sample) -> Sample:
    return replace(sample, image=transform(sample.image))


@carry.register(T.Resize)
@carry.register(T.CenterCrop)
@carry.register(T.RandomCrop)
@carry.register(T.RandomResizedCrop)
@carry.register(T.RandomHorizontalFlip)
@carry.register(T.RandomVerticalFlip)
@carry.register(T.RandomAffine)
@carry.register(T.RandomRotation)
@carry.register(T.Pad)
def _move(transform: Any, sample: Sample) -> Sample:
    twin = copy.copy(transform)
    for name, value in (("interpolation", InterpolationMode.NEAREST), ("fill", 0), ("fillcolor", 0)):
        if hasattr(twin, name):
            setattr(twin, name, value)
    return _twice(transform, twin, sample)


@carry.register
def _auto_augment(transform: autoaugment.AutoAugment, sample: Sample) -> Sample:
    for operation in random.choice(transform.policy):
        if operation.aug_fn in _MOVING:
            twin = copy.copy(operation)
            twin.kwargs = {"fillcolor": 0, "resample": Image.Resampling.NEAREST}
            sample = _twice(operation, twin, sample)
        else:
            sample = replace(sample, image=operation(sample.image))
    return sample


@carry.register
def _to_tensor(transform: ToTensor, sample: Sample) -> Sample:
    mask = torch.from_numpy(np.array(sample.mask, dtype=np.uint8))
    return Sample(transform(sample.image), mask, torch.zeros(mask.shape, dtype=torch.bool))


@carry.register
def _bytes(transform: ByteTransform, sample: Sample) -> Sample:
    for inner in transform.steps:
        sample = carry(inner, sample)
    image = transform.finish(planes(sample.image))
    mask = torch.from_numpy(np.array(sample.mask, dtype=np.uint8))
    covered = torch.zeros(mask.shape, dtype=torch.bool)
    if image.erased is not None:
        top, left, height, width = image.erased
        covered[top : top + height, left : left + width] = True
    return Sample(image, mask, covered)


@carry.register
def _erase(transform: T.RandomErasing, sample: Sample) -> Sample:
    probe = torch.full_like(sample.image, float("nan"))
    with _same_numbers():
        kept = transform(probe).isnan().all(0)
    return replace(sample, image=transform(sample.image), covered=_covered(sample) | ~kept)


@carry.register
def _patch(transform: RandomPatch, sample: Sample) -> Sample:
    """Apply the patch; it comes from a pool that each call changes, so it is found as the rectangle that differs."""
    before = sample.image.clone()
    image = transform(sample.image)
    changed = (image != before).any(0)
    pasted = torch.zeros_like(changed)
    rows, columns = (changed.any(dim).nonzero().flatten() for dim in (1, 0))
    if len(rows):
        pasted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return replace(sample, image=image, covered=_covered(sample) | pasted)


def _covered(sample: Sample) -> Tensor:
    assert sample.covered is not None, "erasing follows ToTensor in the host's list"
    return sample.covered


def _twice(transform: Callable[[Any], Any], twin: Callable[[Any], Any], sample: Sample) -> Sample:
    """Apply the transform to the image and its twin to the mask, with the same random numbers."""
    with _same_numbers():
        mask = twin(sample.mask)
    return replace(sample, image=transform(sample.image), mask=mask)


@contextlib.contextmanager
def _same_numbers() -> Iterator[None]:
    """Draw the same random numbers again after this block."""
    python, torches = random.getstate(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        torch.set_rng_state(torches)
