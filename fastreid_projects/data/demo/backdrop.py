"""The scenes behind the people, painted once per camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from fastreid_projects.data.demo.occluders import paint_bicycle
from fastreid_projects.data.demo.palette import Colour, shade
from fastreid_projects.data.demo.shot import Shot

_HEIGHT, _WIDTH = 600, 1400
_HORIZON = 0.4


@dataclass(frozen=True)
class Scene:
    """The scene that a camera sees.

    Attributes:
        floor, wall: their colours.
        tiles: distance of the floor's joints in pixels; 0 for none.
        features: names from ``FEATURES``, painted in this order.
        accent: colour of the features.
    """

    floor: Colour
    wall: Colour
    tiles: int
    features: tuple[str, ...]
    accent: Colour


SCENES: dict[str, Scene] = {
    "plaza": Scene((196, 190, 178), (172, 178, 186), 90, ("windows", "trees"), (92, 110, 130)),
    "lawn": Scene((112, 146, 78), (128, 156, 118), 0, ("trees", "trees", "path"), (190, 180, 158)),
    "shop": Scene((182, 168, 150), (150, 110, 84), 60, ("shelves",), (206, 170, 90)),
    "road": Scene((112, 114, 118), (150, 156, 164), 0, ("windows", "cars", "markings"), (226, 226, 220)),
    "hall": Scene((150, 156, 150), (196, 200, 188), 50, ("doors",), (104, 84, 66)),
    "bricks": Scene((140, 132, 128), (150, 92, 76), 120, ("bricks", "bicycles"), (112, 66, 54)),
    "snow": Scene((226, 232, 240), (178, 188, 200), 0, ("trees", "path"), (200, 206, 214)),
    "night": Scene((92, 88, 84), (52, 54, 66), 100, ("windows", "cars"), (236, 196, 110)),
    "metro": Scene((150, 150, 146), (206, 212, 206), 70, ("bricks", "markings"), (168, 176, 172)),
    "mall": Scene((222, 210, 190), (214, 196, 172), 110, ("shelves", "doors"), (186, 92, 80)),
    "garage": Scene((122, 124, 122), (138, 140, 138), 0, ("pillars", "cars", "markings"), (222, 190, 60)),
}


@lru_cache(maxsize=32)
def scene_image(name: str, seed: int) -> np.ndarray:
    """Return the whole scene, uint8 RGB (600, 1400, 3), from which backgrounds are cut."""
    scene = SCENES[name]
    rng = np.random.default_rng([seed, len(name), ord(name[0]), ord(name[1])])
    image = np.empty((_HEIGHT, _WIDTH, 3), np.uint8)
    horizon = int(_HEIGHT * _HORIZON)
    image[:horizon], image[horizon:] = scene.wall, scene.floor
    if scene.tiles:
        _tiles(image, horizon, scene)
    for feature in scene.features:
        FEATURES[feature](image, horizon, scene, rng)
    uneven = 1 + 0.04 * _clouds(rng, _HEIGHT // 6, _WIDTH // 6) + 0.06 * _clouds(rng, 7, 15)
    image = np.clip(image * uneven, 0, 255).astype(np.uint8)
    return cv2.GaussianBlur(image, (0, 0), 1.2)


def _clouds(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Return smooth noise of the scene's size, float32 (600, 1400, 1)."""
    coarse = rng.normal(0, 1, (rows, columns)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC))[..., None]


def background(shot: Shot, height: int, width: int) -> np.ndarray:
    """Return the piece of the scene behind this shot, uint8 RGB (height, width, 3)."""
    rng = shot.rng(3)
    image = scene_image(shot.settings.backdrop, 11 if shot.domain == "A" else 12)
    top = int((_HEIGHT - height) * rng.uniform(0.2, 0.8))
    left = int((_WIDTH - width) * shot.place)
    return image[top : top + height, left : left + width].copy()


def _tiles(image: np.ndarray, horizon: int, scene: Scene) -> None:
    joint = shade(scene.floor, -0.22)
    for x in range(-2 * _WIDTH, 3 * _WIDTH, scene.tiles * 2):
        cv2.line(image, (_WIDTH // 2 + (x - _WIDTH // 2) // 3, horizon), (x, _HEIGHT), joint, 2, cv2.LINE_AA)
    y, step = float(horizon), scene.tiles / 6
    while y < _HEIGHT:
        cv2.line(image, (0, int(y)), (_WIDTH, int(y)), joint, 2)
        y, step = y + step, step * 1.35


def _windows(image: np.ndarray, horizon: int, scene: Scene, rng: np.random.Generator) -> None:
    for x in range(20, _WIDTH, 130):
        for y in (-40, 90):
            glass = shade(scene.accent, float(rng.uniform(-0.4, 0.35)))
            cv2.rectangle(image, (x, y), (x + 78, y + 96), shade(scene.wall, 0.3), 8)
            cv2.rectangle(image, (x, y), (x + 78, y + 96), glass, -1)


def _trees(image: np.ndarray, horizon: int, scene: Scene, rng: np.random.Generator) -> None:
    for _ in range(9):
        x, size = int(rng.integers(0, _WIDTH)), int(rng.integers(36, 80))
        cv2.line(image, (x, horizon + 30), (x, horizon - 120), (86, 66, 50), 12)
        for _ in range(14):
            leaf = shade((70, 112, 58), float(rng.uniform(-0.4, 0.25)))
            offset = rng.normal(0, size / 2, 2)
            cv2.circle(image, (int(x + offset[0]), int(horizon - 130 + offset[1] * 0.8)), size // 2, leaf, -1)


def _path(image: np.ndarray, horizon: int, scene: Scene, rng: np.random.Generator) -> None:
    for x in range(100, _WIDTH, 420):
        corners = np.array([[x, horizon], [x + 60, horizon], [x + 260, _HEIGHT], [x - 120, _HEIGHT]])
        cv2.fillPoly(image, [corners], scene.accent)


def _shelves(image: np.ndarray, horizon: int, scene: Scene, rng: np.random.Generator) -> None:
    for y in range(10, horizon - 20, 62):
        for x in range(0, _WIDTH, 26):
            if rng.random() < 0.85:
                ware = tuple(int(v) for v in rng.integers(50, 235, 3))
                cv2.rectangle(image, (x, y + int(rng.integers(0, 24))), (x + 20, y + 52), ware, -1)
        cv2.rectangle(image, (0, y + 52), (_WIDTH, y + 60), shade(scene.wall, -0.4), -1)


def _markings(image: np.ndarray, horizon: int, scene: Scene, rng: np.random.Generator) -> None:
    for x in range(60, _WIDTH, 240):
        corners = np.array([[x, horizon + 80], [x + 50, horizon + 80], [x + 10, _HEIGHT], [x - 80, _HEIGHT]])
        cv2.fillPoly(image, [corners], scene.accent)


def _cars(image: np.ndarray, horizon: int, scene: Scene, rng: np.random.Generator) -> None:
    for x in range(0, _WIDTH, 290):
        body = tuple(int(v) for v in rng.integers(40, 220, 3))
        y = horizon + int(rng.integers(-4, 14))
        cv2.ellipse(image, (x + 110, y - 50), (80, 48), 0, 180, 360, shade((90, 104, 120), 0.1), -1)
        cv2.rectangle(image, (x, y - 52), (x + 220, y), body, -1)
        for wheel in (x + 50, x + 170):
            cv2.circle(image, (wheel, y), 22, (30, 30, 32), -1)


def _doors(image: np.ndarray, horizon: int, scene: Scene, rng: np.random.Generator) -> None:
    for x in range(40, _WIDTH, 260):
        cv2.rectangle(
            image, (x, 30), (x + 96, horizon), shade(scene.accent, float(rng.uniform(-0.2, 0.3))), -1
        )
        cv2.circle(image, (x + 84, 150), 6, (220, 200, 120), -1)
    cv2.rectangle(image, (0, horizon - 14), (_WIDTH, horizon), shade(scene.wall, -0.35), -1)


def _bricks(image: np.ndarray, horizon: int, scene: Scene, rng: np.random.Generator) -> None:
    for row, y in enumerate(range(0, horizon, 22)):
        for x in range(-30 * (row % 2), _WIDTH, 60):
            brick = shade(scene.wall, float(rng.uniform(-0.16, 0.14)))
            cv2.rectangle(image, (x + 2, y + 2), (x + 57, y + 19), brick, -1)


def _bicycles(image: np.ndarray, horizon: int, scene: Scene, rng: np.random.Generator) -> None:
    for x in range(60, _WIDTH, 330):
        red, green, blue = (int(v) for v in rng.integers(30, 200, 3))
        paint_bicycle(image, (x, horizon + 30), 46, (red, green, blue))


def _pillars(image: np.ndarray, horizon: int, scene: Scene, rng: np.random.Generator) -> None:
    for x in range(80, _WIDTH, 310):
        cv2.rectangle(image, (x, 0), (x + 66, horizon + 50), shade(scene.wall, 0.12), -1)
        cv2.rectangle(image, (x, horizon - 60), (x + 66, horizon), scene.accent, -1)


FEATURES: dict[str, Callable[[np.ndarray, int, Scene, np.random.Generator], None]] = {
    "windows": _windows,
    "trees": _trees,
    "path": _path,
    "shelves": _shelves,
    "markings": _markings,
    "cars": _cars,
    "doors": _doors,
    "bricks": _bricks,
    "bicycles": _bicycles,
    "pillars": _pillars,
}
