"""Body parts from joints: limbs as thick lines, the head as an ellipse, the torso as a polygon."""

from __future__ import annotations

import cv2
import numpy as np

from ..data.part_masks import ARM, HEAD, LEG, TORSO

# COCO's order: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; left before right.
JOINTS = 17
FACE = range(5)
SHOULDERS, HIPS = (5, 6), (11, 12)
ARMS = ((5, 7), (7, 9), (6, 8), (8, 10))
LEGS = ((11, 13), (13, 15), (12, 14), (14, 16))
# Widths as multiples of the torso's length, from the middle of the shoulders to the middle of the hips.
_ARM_WIDTH, _LEG_WIDTH, _HEAD_WIDTH, _HEAD_HEIGHT = 0.2, 0.32, 0.44, 0.56


def paint_parts(points: np.ndarray, seen: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Paint body parts around the joints that are seen and inside the image.

    A head needs two points of the face, a limb both its ends, and the torso all four corners.

    Args:
        points: (17, 2) of x, y in pixels.
        seen: (17,) bool.
        size: (h, w).

    Returns:
        uint8 (h, w) of part numbers.
    """
    height, width = size
    inside = (points >= 0).all(1) & (points[:, 0] < width) & (points[:, 1] < height)
    seen = seen & inside
    parts = np.zeros(size, np.uint8)
    unit = _torso_length(points, seen) or 0.3 * height
    _limbs(parts, points, seen, LEGS, LEG, _LEG_WIDTH * unit)
    if seen[[*SHOULDERS, *HIPS]].all():
        corners = points[[SHOULDERS[0], SHOULDERS[1], HIPS[1], HIPS[0]]]
        cv2.fillConvexPoly(parts, np.round(corners).astype(np.int32), TORSO)
        _limbs(parts, points, seen, (SHOULDERS, HIPS), TORSO, _ARM_WIDTH * unit)
    _limbs(parts, points, seen, ARMS, ARM, _ARM_WIDTH * unit)
    face = points[: len(FACE)][seen[: len(FACE)]]
    if len(face) >= 2:
        centre = np.round(face.mean(0)).astype(int)
        axes = (max(round(_HEAD_WIDTH * unit / 2), 1), max(round(_HEAD_HEIGHT * unit / 2), 1))
        cv2.ellipse(parts, (int(centre[0]), int(centre[1])), axes, 0, 0, 360, HEAD, -1)
    return parts


def _torso_length(points: np.ndarray, seen: np.ndarray) -> float:
    middles = []
    for pair in (SHOULDERS, HIPS):
        shown = [joint for joint in pair if seen[joint]]
        if not shown:
            return 0.0
        middles.append(points[shown].mean(0))
    return float(np.linalg.norm(middles[0] - middles[1]))


def _limbs(
    parts: np.ndarray,
    points: np.ndarray,
    seen: np.ndarray,
    bones: tuple[tuple[int, int], ...],
    part: int,
    width: float,
) -> None:
    for a, b in bones:
        if seen[a] and seen[b]:
            ends = [(round(float(x)), round(float(y))) for x, y in points[[a, b]]]
            cv2.line(parts, ends[0], ends[1], part, max(round(width), 1))
