"""Draw attention maps over their images.

| letter | meaning                                                    |
| ------ | ---------------------------------------------------------- |
| H, W   | height and width of the image, in pixels                   |
| h, w   | height and width of the attention map, usually far smaller |

The colour map is matplotlib's *inferno*: it is perceptually uniform, and its lightness rises steadily from black to
pale yellow, so that it reads the same in greyscale print and with any colour blindness. Its dark end has no hue: where
attention is low, the image is only dimmed and the colours of the clothes do not change (viridis and plasma tint them
purple, cividis is grey in its middle and hard to see on a photograph).
"""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastreid_projects.errors import DataError
from fastreid_projects.files import write_aside
from fastreid_projects.visualization.layers import Layer, layer_size

Image = NDArray[np.uint8]

COLOUR_MAP = "inferno"
ALPHA = 0.6
FLOOR = 0.2
MIN_SPREAD = 0.1
LEVELS = 63  # of a map alone
_JPEG_QUALITY = 90
_GREY_QUALITY = 75


def overlay(
    image: Image,
    attention: ArrayLike,
    *,
    low: float,
    high: float,
    alpha: float = ALPHA,
    floor: float = FLOOR,
) -> Image:
    """Draw an attention map over an image, which stays visible everywhere.

    The map is scaled from ``[low, high]`` to ``[0, 1]``, clipped, and enlarged by bicubic interpolation. Its opacity
    grows linearly with attention from ``floor`` to ``alpha``: the image is slightly dimmed at the low end, so that
    bright means attended even on white clothes.

    Args:
        image: RGB, uint8 (H, W, 3); not changed.
        attention: finite numbers (h, w) of any range; may be 1 x 1.
        low: value, like all smaller ones, drawn with the dark end of the colour map.
        high: value, like all greater ones, drawn with the bright end. If it equals ``low``, everything is dark.
        alpha: maximum opacity, in [floor, 1).
        floor: minimum opacity, in [0, alpha].

    Returns:
        RGB, uint8 (H, W, 3).

    Raises:
        DataError: the image or the map has a wrong shape or type, the map contains NaN or infinite values, or the scale
            or the opacities are out of range.
    """
    pixels = check_image(image, "the image")
    level = _level(attention, (low, high), (floor, alpha), *pixels.shape[:2])
    opacity = (floor + (alpha - floor) * level)[..., None]
    colour = _lookup_table()[np.rint(level * 255).astype(np.intp)]
    return np.rint(pixels * (1 - opacity) + colour * opacity).astype(np.uint8)


def attention_layer(
    attention: ArrayLike, *, low: float, high: float, alpha: float = ALPHA, floor: float = FLOOR
) -> Layer:
    """Draw an attention map as in :func:`overlay`, but as a layer that a page puts over a photo.

    Raises:
        DataError: see :func:`overlay`.
    """
    height, width = layer_size(check_attention(attention, "the attention map"))
    level = _level(attention, (low, high), (floor, alpha), height, width)
    steps = np.linspace(0, 1, LEVELS + 1, dtype=np.float32)
    colours = _lookup_table()[np.rint(steps * 255).astype(np.intp)]
    palette = np.column_stack([colours, 255 * (floor + (alpha - floor) * steps)])
    return Layer(np.rint(LEVELS * level).astype(np.uint8), np.rint(palette).astype(np.uint8))


def _level(
    attention: ArrayLike, scale: tuple[float, float], opacities: tuple[float, float], height: int, width: int
) -> NDArray[np.float32]:
    """Return a map on its scale in [0, 1], enlarged, float (height, width)."""
    values = check_attention(attention, "the attention map")
    (low, high), (floor, alpha) = scale, opacities
    if not (np.isfinite([low, high]).all() and low <= high):
        raise DataError(
            f"the scale of a heat map must be finite with low <= high, not low={low}, high={high}"
        )
    if not 0 <= floor <= alpha < 1:
        raise DataError(f"opacities must obey 0 <= floor <= alpha < 1, not floor={floor}, alpha={alpha}")
    level: NDArray[np.float32] = np.clip(enlarge(_normalise(values, low, high), height, width), 0, 1)
    return level


def pair_scale(*maps: ArrayLike, percentiles: tuple[float, float] = (1, 99)) -> tuple[float, float]:
    """Return the scale ``(low, high)`` on which several maps can be compared.

    Pass the two maps of an attribute, query and gallery, to compare where the model looked in the two images (as the
    report does), or the maps of all shown attributes to compare the attributes, too. The ends are percentiles of all
    values, so that single outliers do not darken the rest; if the percentiles are equal (a map of zeros with one peak),
    the ends are the minimum and the maximum. The scale spans at least a tenth of the greater magnitude of its ends, so
    that the noise of a nearly constant map does not look like a pattern.

    Args:
        maps: one or more arrays (h, w), of the same or different sizes.
        percentiles: lower and upper percentile, in [0, 100].

    Returns:
        ``low <= high``; they are equal only for maps of zeros.

    Raises:
        DataError: no map is given, or one is empty, not two-dimensional or not finite.
    """
    if not maps:
        raise DataError("a scale needs at least one attention map")
    values = np.concatenate([check_attention(m, "the attention map").ravel() for m in maps])
    low, high = (float(v) for v in np.percentile(values, percentiles))
    if low >= high:
        low, high = float(values.min()), float(values.max())
    return low, max(high, low + MIN_SPREAD * max(abs(low), abs(high)))


def colour_bar(
    width: int = 256, height: int = 16, *, alpha: float = ALPHA, floor: float = FLOOR, ground: int = 128
) -> Image:
    """Draw the legend of :func:`overlay`, low attention on the left, high on the right.

    Args:
        width: in pixels, W.
        height: in pixels, H.
        alpha: opacity of the overlays that it explains.
        floor: opacity of the overlays that it explains.
        ground: grey value, 0-255, of the imagined image under the bar.

    Returns:
        RGB, uint8 (H, W, 3).
    """
    ramp = np.linspace(0, 1, width, dtype=np.float32)[None]
    grey = np.full((height, width, 3), ground, np.uint8)
    return overlay(grey, ramp, low=0, high=1, alpha=alpha, floor=floor)


def png_data_uri(image: Image) -> str:
    """Encode an RGB image, uint8 (H, W, 3), as ``data:image/png;base64,...`` for the src of an <img>."""
    return "data:image/png;base64," + base64.b64encode(_encode_png(image)).decode("ascii")


def photo_data_uri(image: Image) -> str:
    """Encode an RGB photo, uint8 (H, W, 3), as ``data:image/jpeg;base64,...``, a seventh of a PNG."""
    return _jpeg_data_uri(check_image(image, "the image")[..., ::-1], _JPEG_QUALITY)


def grey_data_uri(image: Image) -> str:
    """Encode a grey photo, RGB uint8 (H, W, 3), likewise, at a lower quality, as a map covers it."""
    return _jpeg_data_uri(check_image(image, "the image")[..., 0], _GREY_QUALITY)


def save_png(path: str | Path, image: Image) -> Path:
    """Save an RGB image, uint8 (H, W, 3), as PNG; parent folders are created.

    Raises:
        DataError: the image has a wrong shape or type, or the path cannot be written.
    """
    return write_aside(path, _encode_png(image))


def check_image(image: ArrayLike, what: str) -> Image:
    """Return ``image`` if it is uint8 (H, W, 3) and not empty; the error calls it ``what``."""
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise DataError(f"{what} must be uint8 (H, W, 3), not {array.dtype} {array.shape}")
    return array


def check_attention(attention: ArrayLike, what: str) -> NDArray[np.float32]:
    """Return ``attention`` as float32 (h, w) if it is finite and not empty; the error calls it ``what``."""
    array = np.asarray(attention, dtype=np.float32)
    if array.ndim != 2 or array.size == 0:
        raise DataError(f"{what} must be two-dimensional (h, w) and not empty, not {array.shape}")
    if not np.isfinite(array).all():
        raise DataError(f"{what} contains NaN or infinite values")
    return array


def enlarge(level: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Enlarge a map (h, w) smoothly to the size of an image; it may slightly exceed its range."""
    shrinks = level.shape[0] > height or level.shape[1] > width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(level, (width, height), interpolation=method).astype(np.float32)


def _normalise(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    if low == high:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def _jpeg_data_uri(pixels: Image, quality: int) -> str:
    """Encode an image, BGR (H, W, 3) or grey (H, W)."""
    content = cv2.imencode(".jpg", np.ascontiguousarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, quality])[
        1
    ].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")


def _encode_png(image: Image) -> bytes:
    pixels = check_image(image, "the image")
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


@cache
def _lookup_table() -> NDArray[np.float32]:
    from matplotlib import colormaps

    return (colormaps[COLOUR_MAP](np.arange(256))[:, :3] * 255).astype(np.float32)
