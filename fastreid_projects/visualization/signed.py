"""Signed maps laid over the image that they belong to: warm where it pushes apart, cool where it draws together.

| letter | meaning                                                 |
| ------ | ------------------------------------------------------- |
| H, W   | height and width of the image, in pixels                |
| h, w   | height and width of the map, usually far smaller        |

The photo below turns to greys of middle lightness. Warm is a yellow orange, lighter than all of them, and cool is a
blue, darker than all of them: the two stay apart in a greyscale print and with any colour blindness, and neither can be
mistaken for clothes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastreid_projects.errors import DataError
from fastreid_projects.visualization.heatmap import Image, check_attention, check_image, enlarge
from fastreid_projects.visualization.layers import Layer, layer_size

WARM = (255, 176, 32)
COOL = (16, 44, 160)
GREYS = (76, 150)  # of the photo, from its darkest to its lightest parts
ALPHA = 0.9
LEVELS = 31  # of a map alone, on either side of 0
_LUMA = (0.299, 0.587, 0.114)


def signed_overlay(image: Image, shares: ArrayLike, *, limit: float, alpha: float = ALPHA) -> Image:
    """Lay a signed map over an image in grey.

    The map is divided by ``limit``, clipped to [-1, 1] and enlarged by bicubic interpolation; its opacity grows
    with its magnitude, so that nothing is tinted where it is 0.

    Args:
        image: RGB, uint8 (H, W, 3); not changed.
        shares: finite numbers (h, w); above 0 is drawn warm, below 0 cool.
        limit: magnitude drawn with the full colours; greater ones too. 0: nothing stands out.
        alpha: greatest opacity, in (0, 1].

    Returns:
        RGB, uint8 (H, W, 3).

    Raises:
        DataError: the image or the map has another shape or type, or the limit is negative or not finite.
    """
    pixels = check_image(image, "the image")
    level = _level(shares, limit, *pixels.shape[:2])
    opacity = (alpha * np.abs(level))[..., None]
    shown = _greyed(pixels) * (1 - opacity) + _colours(level) * opacity
    return np.rint(shown).astype(np.uint8)


def signed_layer(shares: ArrayLike, *, limit: float, alpha: float = ALPHA) -> Layer:
    """Draw a signed map alone, to be laid over :func:`grey_photo` by a page: what :func:`signed_overlay` shows.

    Raises:
        DataError: the map has another shape, or the limit is negative or not finite.
    """
    level = _level(shares, limit, *layer_size(check_attention(shares, "the signed map")))
    steps = np.linspace(-1, 1, 2 * LEVELS + 1, dtype=np.float32)
    palette = np.column_stack([_colours(steps), 255 * alpha * np.abs(steps)])
    return Layer(np.rint(LEVELS * (level + 1)).astype(np.uint8), np.rint(palette).astype(np.uint8))


def grey_photo(image: Image) -> Image:
    """Return the photo in the greys that lie below a signed map, RGB uint8 (H, W, 3)."""
    return np.rint(_greyed(check_image(image, "the image"))).astype(np.uint8)


def signed_limit(*maps: ArrayLike, percentile: float = 99.5) -> float:
    """Find one limit for several signed maps: a percentile of their magnitudes, so that no outlier darkens the rest.

    Args:
        maps: one or more arrays (h, w), of the same or of different sizes.
        percentile: in [0, 100].

    Raises:
        DataError: no map is given, or one is empty, not two-dimensional or not finite.
    """
    if not maps:
        raise DataError("a scale needs at least one signed map")
    values = np.abs(np.concatenate([check_attention(m, "the signed map").ravel() for m in maps]))
    return float(np.percentile(values, percentile)) or float(values.max())


def signed_bar(width: int = 256, height: int = 16) -> Image:
    """Draw the legend of :func:`signed_overlay`, what draws together on the left, what pushes apart on the right."""
    ramp = np.linspace(-1, 1, width, dtype=np.float32)[None]
    return signed_overlay(np.full((height, width, 3), 128, np.uint8), ramp, limit=1)


def _level(shares: ArrayLike, limit: float, height: int, width: int) -> NDArray[np.float32]:
    """A signed map in [-1, 1], enlarged, float (height, width)."""
    values = check_attention(shares, "the signed map")
    if not (np.isfinite(limit) and limit >= 0):
        raise DataError(f"the limit of a signed map must be finite and at least 0, not {limit}")
    level = np.clip(values / limit, -1, 1) if limit > 0 else np.zeros_like(values)
    enlarged: NDArray[np.float32] = np.clip(enlarge(level.astype(np.float32), height, width), -1, 1)
    return enlarged


def _colours(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Warm above 0, else cool: float, three numbers for each level."""
    return np.where(level[..., None] > 0, np.array(WARM, np.float32), np.array(COOL, np.float32))


def _greyed(pixels: Image) -> NDArray[np.float32]:
    """The photo in greys of middle lightness, its own darkest and lightest parts at their ends, float (H, W, 3)."""
    luma = pixels.astype(np.float32) @ np.array(_LUMA, np.float32)
    dark, light = np.percentile(luma, (1, 99))
    level = np.clip((luma - dark) / (light - dark), 0, 1) if light > dark else np.full_like(luma, 0.5)
    low, high = GREYS
    grey: NDArray[np.float32] = (low + (high - low) * level)[..., None].astype(np.float32)
    return np.broadcast_to(grey, pixels.shape)
