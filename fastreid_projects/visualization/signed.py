"""Draw signed maps over their images: warm where they push two images apart, cool where they draw them together.

| letter | meaning                                                 |
| ------ | ------------------------------------------------------- |
| H, W   | height and width of the image, in pixels                |
| h, w   | height and width of the map, usually far smaller        |

The photo below is drawn in greys of medium lightness. Warm is a yellow orange, lighter than all of these greys, and
cool is a blue, darker than all of them: the two are distinct in greyscale print and with any colour blindness, and
neither can be mistaken for clothes.
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
    """Draw a signed map over an image in grey.

    The map is divided by ``limit``, clipped to [-1, 1] and enlarged by bicubic interpolation; its opacity grows with
    its magnitude, so that nothing is tinted where it is 0.

    Args:
        image: RGB, uint8 (H, W, 3); not changed.
        shares: finite numbers (h, w); positive ones are drawn warm, negative ones cool.
        limit: magnitude, like all greater ones, drawn with the strongest colours; 0 draws no colours.
        alpha: maximum opacity, in (0, 1].

    Returns:
        RGB, uint8 (H, W, 3).

    Raises:
        DataError: the image or the map has a wrong shape or type, or the limit is negative or not finite.
    """
    pixels = check_image(image, "the image")
    level = _level(shares, limit, *pixels.shape[:2])
    opacity = (alpha * np.abs(level))[..., None]
    shown = _greyed(pixels) * (1 - opacity) + _colours(level) * opacity
    return np.rint(shown).astype(np.uint8)


def signed_layer(shares: ArrayLike, *, limit: float, alpha: float = ALPHA) -> Layer:
    """Draw a signed map as in :func:`signed_overlay`, but as a layer that a page puts over :func:`grey_photo`.

    Raises:
        DataError: the map has a wrong shape, or the limit is negative or not finite.
    """
    level = _level(shares, limit, *layer_size(check_attention(shares, "the signed map")))
    steps = np.linspace(-1, 1, 2 * LEVELS + 1, dtype=np.float32)
    palette = np.column_stack([_colours(steps), 255 * alpha * np.abs(steps)])
    return Layer(np.rint(LEVELS * (level + 1)).astype(np.uint8), np.rint(palette).astype(np.uint8))


def grey_photo(image: Image) -> Image:
    """Return the photo in the greys below a signed map, RGB uint8 (H, W, 3)."""
    return np.rint(_greyed(check_image(image, "the image"))).astype(np.uint8)


def signed_limit(*maps: ArrayLike, percentile: float = 99.5) -> float:
    """Return a common limit for several signed maps: a percentile of their magnitudes, to be robust to outliers.

    Args:
        maps: one or more arrays (h, w), of the same or different sizes.
        percentile: in [0, 100].

    Raises:
        DataError: no map is given, or one is empty, not two-dimensional or not finite.
    """
    if not maps:
        raise DataError("a scale needs at least one signed map")
    values = np.abs(np.concatenate([check_attention(m, "the signed map").ravel() for m in maps]))
    return float(np.percentile(values, percentile)) or float(values.max())


def signed_bar(width: int = 256, height: int = 16) -> Image:
    """Draw the legend of :func:`signed_overlay`, from drawing together on the left to pushing apart on the right."""
    ramp = np.linspace(-1, 1, width, dtype=np.float32)[None]
    return signed_overlay(np.full((height, width, 3), 128, np.uint8), ramp, limit=1)


def _level(shares: ArrayLike, limit: float, height: int, width: int) -> NDArray[np.float32]:
    """Return a signed map in [-1, 1], enlarged, float (height, width)."""
    values = check_attention(shares, "the signed map")
    if not (np.isfinite(limit) and limit >= 0):
        raise DataError(f"the limit of a signed map must be finite and at least 0, not {limit}")
    level = np.clip(values / limit, -1, 1) if limit > 0 else np.zeros_like(values)
    enlarged: NDArray[np.float32] = np.clip(enlarge(level.astype(np.float32), height, width), -1, 1)
    return enlarged


def _colours(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the warm colour for levels above 0 and else the cool one: float, three numbers for each level."""
    return np.where(level[..., None] > 0, np.array(WARM, np.float32), np.array(COOL, np.float32))


def _greyed(pixels: Image) -> NDArray[np.float32]:
    """Return the photo in greys of medium lightness, stretched to the photo's own range, float (H, W, 3)."""
    luma = pixels.astype(np.float32) @ np.array(_LUMA, np.float32)
    dark, light = np.percentile(luma, (1, 99))
    level = np.clip((luma - dark) / (light - dark), 0, 1) if light > dark else np.full_like(luma, 0.5)
    low, high = GREYS
    grey: NDArray[np.float32] = (low + (high - low) * level)[..., None].astype(np.float32)
    return np.broadcast_to(grey, pixels.shape)
