"""Drawn pictures of 100 classes, in the format of CIFAR-100, which they replace if it is not available."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 32
SCALE = 4  # pictures are drawn larger and then reduced, for smooth edges
FILLINGS = 10
SHAPES = 10
CLASSES = SHAPES * FILLINGS


def draw_shapes(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw ``count`` pictures of each class, which are the same for a seed on every machine.

    Class c is shape c // 10 in filling c % 10 (five hues, plain or striped). Place, size, rotation, shade, background
    and noise are random, and a second, smaller and colourless shape is in the way.

    Returns:
        RGB pixels (100 * count, 32, 32, 3) and classes (100 * count,), in the order of the classes.
    """
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(CLASSES), count)
    return np.stack([_picture(int(c), rng) for c in classes]), classes


def _picture(label: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    full = SIZE * SCALE
    shape, filling = divmod(label, FILLINGS)
    ground = rng.uniform(40, 215, 3) * np.ones((full, full, 1))
    grey = np.full(3, rng.uniform(60, 200))
    image = _paint(ground, _mask(int(rng.integers(SHAPES)), rng, 0.12, 0.18), grey)
    hue = (filling % 5) / 5 + rng.uniform(-0.05, 0.05)
    colour = 255 * np.array(colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.6, 1), rng.uniform(0.55, 1)))
    mask = _mask(shape, rng, 0.24, 0.4)
    image = _paint(image, mask, colour)
    if filling >= 5:
        stripes = (np.add.outer(np.arange(full), np.zeros(full)) // (full // 16)) % 2 == 0
        image = _paint(image, mask * stripes, np.full(3, rng.choice([20.0, 235.0])))
    small = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.clip(small + rng.normal(0, 8, small.shape), 0, 255).astype(np.uint8)


def _paint(
    image: NDArray[np.float64], mask: NDArray[np.float64], colour: NDArray[np.float64]
) -> NDArray[np.float64]:
    return image * (1 - mask[..., None]) + colour * mask[..., None]


def _mask(shape: int, rng: np.random.Generator, low: float, high: float) -> NDArray[np.float64]:
    """Return a mask (0 or 1) of a shape at a random place, whose size lies between two shares of the picture."""
    full = SIZE * SCALE
    mask = np.zeros((full, full), dtype=np.uint8)
    centre = rng.uniform(0.35, 0.65, 2) * full
    radius, turn = rng.uniform(low, high) * full, rng.uniform(-0.3, 0.3)
    if shape == 0:
        cv2.circle(mask, _point(centre), int(radius), 1, -1)
    elif shape == 1:
        cv2.circle(mask, _point(centre), int(radius * 0.85), 1, int(radius * 0.4))
    elif shape == 2:
        axes = (int(radius), int(radius * 0.45))
        cv2.ellipse(mask, _point(centre), axes, float(np.degrees(turn)), 0, 360, 1, -1)
    elif shape == 3:
        for angle in (turn, turn + np.pi / 2):
            arm = radius * np.array([np.cos(angle), np.sin(angle)])
            cv2.line(mask, _point(centre - arm), _point(centre + arm), 1, max(int(radius * 0.5), 1))
    else:
        corners, dent = ((3, 1.0), (4, 1.0), (5, 1.0), (6, 1.0), (5, 0.45), (8, 0.6))[shape - 4]
        cv2.fillPoly(mask, [_polygon(centre, radius, turn, corners, dent)], 1)
    return mask.astype(np.float64)


def _polygon(
    centre: NDArray[np.float64], radius: float, turn: float, corners: int, dent: float
) -> NDArray[np.int32]:
    """Return a regular polygon, or a star whose inner corners lie at ``dent`` of the radius."""
    count = corners if dent == 1 else 2 * corners
    angles = turn - np.pi / 2 + 2 * np.pi * np.arange(count) / count
    radii = np.where(np.arange(count) % 2 == 1, dent, 1.0) * radius
    points = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.rint(points).astype(np.int32)


def _point(centre: NDArray[np.float64]) -> tuple[int, int]:
    return int(centre[0]), int(centre[1])
