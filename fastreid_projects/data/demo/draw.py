"""Draw a person into a shot; person and shot fully determine the picture and the masks."""

from __future__ import annotations

import cv2
import numpy as np

from fastreid_projects.data.attributes import DEMO
from fastreid_projects.data.demo.backdrop import background
from fastreid_projects.data.demo.canvas import SCALE, Canvas, ellipse, offset, shading
from fastreid_projects.data.demo.carried import carried_jobs
from fastreid_projects.data.demo.figure import Figure, Job, limb_jobs
from fastreid_projects.data.demo.head import head_jobs
from fastreid_projects.data.demo.masks import DemoMasks
from fastreid_projects.data.demo.occluders import occlude
from fastreid_projects.data.demo.person import Person, sample_details
from fastreid_projects.data.demo.photo import develop
from fastreid_projects.data.demo.population import FREQUENCIES, sample_attributes
from fastreid_projects.data.demo.pose import View, sample_pose
from fastreid_projects.data.demo.shot import HEIGHT, WIDTH, Shot
from fastreid_projects.data.demo.trunk import trunk_jobs

ABSENT = (0,) * len(DEMO)
OUTLINES = {"A": 0.12, "B": 0.55}
"""The darkness of the outlines for each domain; the second one is drawn in another style."""


def draw_person(person: Person | None, shot: Shot) -> tuple[np.ndarray, DemoMasks]:
    """Draw one image.

    Pose, background, occluder and noise depend on the shot only: the same shot with one attribute changed differs only
    where the attribute is visible (and in the blur and JPEG blocks around it).

    Args:
        person: the person to draw; None draws the empty scene (a false detection).
        shot: the place, camera and moment.

    Returns:
        The image, uint8 RGB (256, 128, 3), and its masks.
    """
    image = background(shot, HEIGHT * SCALE, WIDTH * SCALE)
    parts = np.zeros((HEIGHT * SCALE, WIDTH * SCALE), np.uint8)
    if person is not None:
        parts = _stand(image, person, shot, (0.0, 0.0))
    if shot.occluder == "passer":
        rng = shot.rng(6)
        aside = (float(rng.choice((-1, 1)) * rng.uniform(0.38, 0.55)), float(rng.uniform(0, 0.06)))
        parts[_stand(image, _passer(shot.domain, rng), shot, aside, stream=7) > 0] = 0
    parts[occlude(image, shot)] = 0
    small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    values = ABSENT if person is None else person.attributes
    return develop(small, shot), DemoMasks(np.ascontiguousarray(parts[::SCALE, ::SCALE]), values)


def _passer(domain: str, rng: np.random.Generator) -> Person:
    vector = sample_attributes(1, FREQUENCIES[domain], rng)[0]
    return Person(tuple(int(v) for v in vector), sample_details(rng))


def _stand(
    image: np.ndarray, person: Person, shot: Shot, aside: tuple[float, float], stream: int = 1
) -> np.ndarray:
    """Paint a person with its shadow onto ``image`` (changed in place) and return the parts, uint8."""
    height, width = image.shape[:2]
    scale = shot.zoom * (0.94 + 0.12 * person.details.height) * height
    u = width * (0.5 + shot.shift[0] + aside[0])
    v = height * (0.5 + shot.shift[1] + aside[1]) + 0.5 * shot.zoom * height
    view = View(np.radians(shot.yaw), np.radians(shot.settings.pitch), scale, (u, v))
    figure = Figure(Canvas(HEIGHT, WIDTH), person, view, sample_pose(shot.rng(stream)))
    jobs = limb_jobs(figure) + trunk_jobs(figure) + head_jobs(figure) + carried_jobs(figure)
    for _, paint in sorted(jobs, key=_depth):
        paint()
    _shadow(image, view, shot)
    canvas = figure.canvas
    factor = shading(canvas.solids, 0.03 * scale, np.radians(shot.settings.light), OUTLINES[shot.domain])
    body = np.clip(canvas.colours * factor * _folds(shot), 0, 255).astype(np.uint8)
    seen = canvas.region > 0
    image[seen] = body[seen]
    return canvas.parts


def _depth(job: Job) -> float:
    return float(job[0])


def _shadow(image: np.ndarray, view: View, shot: Shot) -> None:
    shadow = np.zeros(image.shape[:2], np.uint8)
    lean = -0.08 * np.cos(np.radians(shot.settings.light))
    centre = np.array(view.ground) + offset(lean * view.scale, -0.03 * view.scale)
    cv2.fillPoly(shadow, [ellipse(centre, 0.15 * view.scale, 0.035 * view.scale).astype(np.int32)], 255)
    soft = cv2.GaussianBlur(shadow, (0, 0), 7).astype(np.float32)[..., None] / 255
    image[:] = (image * (1 - 0.5 * soft)).astype(np.uint8)


def _folds(shot: Shot) -> np.ndarray:
    """Return factors around 1 that make cloth uneven, float32 (SCALE*H, SCALE*W, 1)."""
    coarse = shot.rng(2).standard_normal((24, 14)).astype(np.float32)
    fine = cv2.resize(coarse, (WIDTH * SCALE, HEIGHT * SCALE), interpolation=cv2.INTER_CUBIC)
    return (1 + 0.05 * fine)[..., None]
