"""Patches of data/transforms/functional.py and build.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torchvision.transforms as T
from fastreid.data.transforms import build as host_build
from fastreid.data.transforms import functional
from PIL import Image

from fastreid_projects.host_import import rebind


def to_tensor(pic: Image.Image | npt.NDArray[Any]) -> torch.Tensor:
    """Convert an image (H, W[, C]) to a tensor (C, H, W); bytes become floats in 0..255.

    functional.py:46 reads through a deprecated storage, and gives images with alpha a wrong shape.
    """
    array = np.asarray(pic)
    if array.ndim not in (2, 3):
        raise ValueError(f"an image has 2 or 3 dimensions, not {array.ndim}")
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = array.astype(np.int32)
    if array.ndim == 2:
        array = array[:, :, None]
    tensor = torch.from_numpy(np.array(array.transpose(2, 0, 1), order="C"))
    return tensor.float() if tensor.dtype == torch.uint8 else tensor


class _Transforms:
    """``torchvision.transforms`` with the arguments that data/transforms/build.py:81 passes."""

    def __getattr__(self, name: str) -> Any:
        return getattr(T, name)

    @staticmethod
    def RandomAffine(*args: Any, resample: Any = False, fillcolor: int = 0, **kwargs: Any) -> T.RandomAffine:
        """Build the transform; ``resample=False`` meant the nearest pixel."""
        mode = T.InterpolationMode.NEAREST if not resample else T.InterpolationMode.BILINEAR
        return T.RandomAffine(*args, interpolation=mode, fill=fillcolor, **kwargs)


def patch_transforms() -> None:
    """Replace the function behind ToTensor (functional.py:46) and the call of RandomAffine (build.py:81)."""
    rebind(functional.to_tensor, to_tensor)
    host_build.T = _Transforms()
