"""A walking skeleton in three dimensions, and its projection into the picture.

Lengths are in body heights. x is across (positive: to the right of the picture when the person faces the
camera), y is up from the ground, z is ahead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

THIGH, SHIN = 0.235, 0.235
UPPER_ARM, FOREARM = 0.155, 0.14
HIP_HEIGHT, SHOULDER_HEIGHT = 0.515, 0.795
SIDES = (-1, 1)


@dataclass(frozen=True)
class Pose:
    """The angles of a pose, in radians; of each pair, the side x < 0 comes first.

    Attributes:
        thighs: forward angle of the thighs.
        knees: bend of the knees, at least 0.
        arms: forward angle of the upper arms.
        elbows: bend of the elbows, at least 0.
        spread: how far the arms stand off.
        head: turn of the head against the body.
    """

    thighs: tuple[float, float]
    knees: tuple[float, float]
    arms: tuple[float, float]
    elbows: tuple[float, float]
    spread: float
    head: float


def sample_pose(rng: np.random.Generator) -> Pose:
    """Draw a moment of walking or standing."""
    phase, stride = rng.uniform(0, 2 * np.pi), rng.uniform(0.08, 0.5)
    phases = (phase, phase + np.pi)
    swing = stride * rng.uniform(0.5, 1.0)
    elbows = [float(rng.uniform(0.1, 0.6)) for _ in SIDES]
    raised = int(rng.integers(0, 8))
    if raised < 2:  # looks at a telephone, or holds something
        elbows[raised] = 1.9
    return Pose(
        thighs=_pair(stride * np.sin(p) for p in phases),
        knees=_pair(max(0.0, -1.3 * stride * np.cos(p)) + 0.06 for p in phases),
        arms=_pair(-swing * np.sin(p) + rng.normal(0, 0.05) for p in phases),
        elbows=_pair(elbows),
        spread=float(rng.uniform(0.08, 0.2)),
        head=float(rng.normal(0, 0.3)),
    )


def _pair(values: Iterable[float]) -> tuple[float, float]:
    first, second = values
    return float(first), float(second)


@dataclass(frozen=True)
class Skeleton:
    """Joints, each float (2, 3): the side x < 0, then the side x > 0."""

    hip: np.ndarray
    knee: np.ndarray
    ankle: np.ndarray
    toe: np.ndarray
    shoulder: np.ndarray
    elbow: np.ndarray
    wrist: np.ndarray


def bend(pose: Pose, hip_width: float, shoulder_width: float) -> Skeleton:
    """Put a skeleton into a pose, its lower foot on the ground.

    Args:
        pose: the angles.
        hip_width: distance of a hip joint from the middle.
        shoulder_width: distance of a shoulder joint from the middle.
    """
    sides = np.array(SIDES, float)
    zeros = np.zeros(2)
    thighs, shins = np.array(pose.thighs), np.array(pose.thighs) - np.array(pose.knees)
    hip = np.stack([sides * hip_width, zeros + HIP_HEIGHT, zeros], 1)
    knee = hip + THIGH * _down(thighs)
    ankle = knee + SHIN * _down(shins)
    lift = 0.035 - ankle[:, 1].min()
    tilt = np.clip(shins * 0.8, -0.7, 0.25)
    toe = ankle + 0.085 * np.stack([0.18 * sides, np.sin(tilt) - 0.12, np.cos(tilt)], 1)
    arms = np.array(pose.arms)
    shoulder = np.stack([sides * shoulder_width, zeros + SHOULDER_HEIGHT, zeros], 1)
    out = np.stack([sides * np.sin(pose.spread), zeros, zeros], 1)
    elbow = shoulder + UPPER_ARM * (_down(arms) + out)
    wrist = elbow + FOREARM * (_down(arms + np.array(pose.elbows)) + 0.3 * out)
    up = np.array([0, lift, 0])
    return Skeleton(hip + up, knee + up, ankle + up, toe + up, shoulder + up, elbow + up, wrist + up)


def _down(angle: np.ndarray) -> np.ndarray:
    """Return unit vectors (2, 3) that point down, turned forward by ``angle`` (2,)."""
    return np.stack([np.zeros(2), -np.cos(angle), np.sin(angle)], 1)


@dataclass(frozen=True)
class View:
    """Orthographic projection.

    Attributes:
        yaw: radians, 0 facing the camera.
        pitch: radians, how far the camera looks down.
        scale: pixels per body height.
        ground: (u, v) pixel of the point between the feet.
    """

    yaw: float
    pitch: float
    scale: float
    ground: tuple[float, float]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels (..., 2) of points (..., 3)."""
        points = np.asarray(points, float)
        across = points[..., 0] * np.cos(self.yaw) + points[..., 2] * np.sin(self.yaw)
        up = points[..., 1] * np.cos(self.pitch) - self.depth(points) * np.sin(self.pitch)
        return np.stack([self.ground[0] + self.scale * across, self.ground[1] - self.scale * up], -1)

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Return how near points (..., 3) are to the camera; positive is nearer than the body's axis."""
        points = np.asarray(points, float)
        return points[..., 2] * np.cos(self.yaw) - points[..., 0] * np.sin(self.yaw)

    def half_width(self, across: float, deep: float) -> float:
        """Return the half width in pixels of an upright elliptic column with these half axes."""
        return self.scale * float(np.hypot(across * np.cos(self.yaw), deep * np.sin(self.yaw)))

    @property
    def front(self) -> float:
        """1 when seen from the front, 0 from the side, -1 from behind."""
        return float(np.cos(self.yaw))
