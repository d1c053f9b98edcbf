"""Read images as RGB and upright; the error for a file that cannot be read is one sentence."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from fastreid_projects.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

ImageLike: TypeAlias = "str | os.PathLike[str] | Image.Image | npt.NDArray[Any] | Tensor"

# PIL raises these for files that are truncated, not an image, of an unknown kind, or absurdly large.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    NotImplementedError,
    Image.DecompressionBombError,
)


def read_image(file_name: str, format: str | None = None) -> Image.Image:
    """Read an image as RGB, upright by its EXIF tag.

    The host (data_utils.py:38-58) returns 2- and 4-channel images unchanged, takes palette indices for grey values,
    and raises PIL's errors for broken files, often without a file name.

    Args:
        file_name: path of the image.
        format: None or "RGB", "BGR", or any mode that PIL converts RGB to.

    Raises:
        DataError: the file is missing, truncated or not an image.
    """
    from fastreid.utils.file_io import PathManager  # here, since the host's patches import this module

    with _naming(file_name), PathManager.open(file_name, "rb") as file:
        image = Image.open(file)
        with contextlib.suppress(Exception):  # a broken tag; broken pixels raise below
            ImageOps.exif_transpose(image, in_place=True)
        rgb = to_rgb(image)
    if format == "BGR":
        return Image.merge("RGB", rgb.split()[::-1])
    return rgb if format in (None, "RGB") else rgb.convert(format)


def as_rgb(image: ImageLike) -> Image.Image:
    """Convert a picture of any kind to an 8-bit RGB image, the input of a model's transforms.

    Args:
        image: a path; a PIL image; an array (H, W, 3), RGB, or (H, W), of bytes; a tensor (3, H, W), RGB, of bytes or
            of floats in 0..255.

    Raises:
        DataError: ``image`` is none of these, or cannot be read.

    Example:
        >>> as_rgb(np.zeros((4, 2), np.uint8)).size
        (2, 4)
    """
    if isinstance(image, str | os.PathLike):
        return read_image(os.fspath(image), format="RGB")
    if _is_tensor(image):
        image = _array_of(image)
    if isinstance(image, np.ndarray):
        return Image.fromarray(_rgb_bytes(image))
    if not isinstance(image, Image.Image):
        raise DataError(
            f"a picture is a path, a PIL image, an array or a tensor, not {type(image).__name__}; open other things "
            "with PIL.Image.open"
        )
    try:
        return to_rgb(image)
    except _UNREADABLE as error:
        raise DataError(f"a PIL image cannot be read: {error}") from error


def _is_tensor(image: object) -> TypeGuard[Tensor]:
    """Return whether ``image`` is a tensor, without importing torch, which takes a second."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor)


def _array_of(image: Tensor) -> npt.NDArray[Any]:
    """Return the bytes (H, W, 3) of a tensor (3, H, W) of bytes or of floats in 0..255."""
    if image.dim() != 3 or image.shape[0] != 3:
        raise DataError(
            f"a tensor of a picture has the shape (3, height, width), RGB, not {tuple(image.shape)}"
        )
    values = image.detach().permute(1, 2, 0).cpu().numpy()
    if values.dtype.kind != "f":
        return values
    low, top = float(values.min(initial=0)), float(values.max(initial=0))
    if low < 0 or top > 255 or 0 < top <= 1:
        raise DataError(
            f"the values of a picture's tensor are in {low:g}..{top:g}, but have to be RGB in 0..255: multiply values "
            "in 0..1 by 255, and do not normalise them, as the model does that"
        )
    return values.round().astype(np.uint8)


def _rgb_bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    grey = array.ndim == 2
    if array.dtype != np.uint8 or not array.size or not (grey or (array.ndim == 3 and array.shape[2] == 3)):
        raise DataError(
            "an array of a picture is uint8 (height, width, 3), RGB, or (height, width), not "
            f"{array.dtype} {array.shape}"
        )
    return np.ascontiguousarray(np.stack([array] * 3, axis=2) if grey else array)


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case and with their dot, of all files that Pillow can open and decode."""
    Image.init()
    decoded = {
        kind
        for kind, (factory, _) in Image.OPEN.items()
        if kind != "MPEG" and not (isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile))
    }
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in decoded)


def is_picture(name: str | os.PathLike[str]) -> bool:
    """Return whether a file is a picture by the suffix of its name."""
    return os.path.splitext(name)[1].lower() in picture_suffixes()


def opens(file_name: str) -> bool:
    """Return whether Pillow knows the format of a file, by its content."""
    try:
        with Image.open(file_name):
            return True
    except _UNREADABLE:
        return False


def upright_size(file_name: str) -> tuple[int, int]:
    """Return height and width of an image, read from its header and turned by its EXIF tag.

    Raises:
        DataError: the file is missing or not an image.
    """
    with _naming(file_name), Image.open(file_name) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) > 4
        return (image.width, image.height) if turned else (image.height, image.width)


@contextlib.contextmanager
def _naming(file_name: str) -> Iterator[None]:
    """Turn PIL's errors into a DataError that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(
            f"Image {file_name} does not exist: check the path, or remove the entry that names it."
        ) from None
    except IsADirectoryError:
        raise DataError(f"Image {file_name} is a folder: name an image, or remove it.") from None
    except _UNREADABLE as error:
        raise DataError(
            f"Image {file_name} cannot be read ({_reason(file_name, error)}): replace or remove it."
        ) from error


def _reason(file_name: str, error: BaseException) -> str:
    """Return why a file cannot be read, in words without the file object."""
    if not isinstance(error, UnidentifiedImageError):
        return " ".join(str(error).split()).removesuffix(".")
    with contextlib.suppress(OSError):
        if not os.path.getsize(file_name):
            return "the file is empty"
    return "it is not an image of a known format"


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an 8-bit RGB image of any PIL image: 16-bit values are scaled, transparency is dropped."""
    if image.mode == "RGB":
        image.load()
        return image
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bit(np.asarray(image)))
    return image.convert("RGB")


def _to_8_bit(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Scale grey values (H, W): 16-bit integers by 1/257, floats in 0..1 by 255, others not at all."""
    grey = np.nan_to_num(values.astype(np.float64))
    top = grey.max(initial=0.0)
    if values.dtype.kind == "f":
        grey *= 255 if top <= 1 else 1
    elif values.dtype.itemsize == 2 or top > 255:
        grey /= 257
    return grey.round().clip(0, 255).astype(np.uint8)
