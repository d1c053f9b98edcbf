"""Paint things between the camera and the person."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from fastreid_projects.data.demo.palette import Colour, shade
from fastreid_projects.data.demo.shot import Shot


def paint_bicycle(image: np.ndarray, axle: tuple[int, int], radius: int, colour: Colour) -> None:
    """Paint a bicycle onto ``image`` (in place), its left wheel around ``axle``."""
    x, y = axle
    far, saddle, bar = (
        (x + int(2.4 * radius), y),
        (x + radius, y - int(1.5 * radius)),
        (x + 2 * radius, y - int(1.7 * radius)),
    )
    for wheel in (axle, far):
        cv2.circle(image, wheel, radius, (36, 36, 38), 6, cv2.LINE_AA)
    for start, end in (
        (axle, saddle),
        (saddle, (bar[0], bar[1] + radius // 3)),
        (far, bar),
        (axle, (x + radius, y)),
        ((x + radius, y), bar),
    ):
        cv2.line(image, start, end, colour, 7, cv2.LINE_AA)
    cv2.line(image, (saddle[0] - 14, saddle[1]), (saddle[0] + 16, saddle[1]), (30, 30, 30), 9)


def occlude(image: np.ndarray, shot: Shot) -> np.ndarray:
    """Paint the shot's occluder onto ``image`` (uint8 RGB, in place); return the covered pixels, bool."""
    paint = _PAINTERS.get(shot.occluder)
    if paint is None:
        return np.zeros(image.shape[:2], bool)
    before, rng = image.copy(), shot.rng(4)
    side, tone = float(rng.choice((0.12, 0.3, 0.7, 0.88))), float(rng.uniform(-0.3, 0.3))
    paint(image, int(image.shape[1] * side), tone, rng)
    return (image != before).any(-1)


def _pole(image: np.ndarray, x: int, tone: float, rng: np.random.Generator) -> None:
    height = image.shape[0]
    cv2.rectangle(image, (x - 13, 0), (x + 13, height), shade((98, 104, 108), tone), -1)
    cv2.line(image, (x - 5, 0), (x - 5, height), shade((150, 156, 160), tone), 5)


def _bush(image: np.ndarray, x: int, tone: float, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    for _ in range(60):
        spot = (int(rng.integers(-20, width + 20)), int(height * rng.uniform(0.78, 1.05)))
        leaf = shade((58, 104, 52), float(rng.uniform(-0.4, 0.3)))
        cv2.circle(image, spot, int(rng.integers(14, 34)), leaf, -1)


def _bin(image: np.ndarray, x: int, tone: float, rng: np.random.Generator) -> None:
    top = int(image.shape[0] * rng.uniform(0.58, 0.72))
    cv2.rectangle(image, (x - 56, top), (x + 56, image.shape[0]), shade((52, 92, 84), tone), -1)
    cv2.rectangle(image, (x - 64, top - 12), (x + 64, top + 10), shade((38, 64, 60), tone), -1)


def _parked_bicycle(image: np.ndarray, x: int, tone: float, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    axle = (int(width * rng.uniform(-0.1, 0.3)), int(height * 0.88))
    paint_bicycle(image, axle, 58, shade((170, 60, 50), tone))


_PAINTERS: dict[str, Callable[[np.ndarray, int, float, np.random.Generator], None]] = {
    "pole": _pole,
    "bush": _bush,
    "bin": _bin,
    "bicycle": _parked_bicycle,
}
