"""Paint the head: neck, face and hair."""

from __future__ import annotations

import numpy as np

from fastreid_projects.data.demo.canvas import offset
from fastreid_projects.data.demo.figure import PART, Figure, Job, lift
from fastreid_projects.data.demo.palette import HAIR, shade


def head_jobs(f: Figure) -> list[Job]:
    """Return the jobs for neck, face and hair; long hair is behind the trunk or, seen from behind, in front of it."""
    jobs: list[Job] = [(0.02, lambda: _head(f))]
    if f.person.has("hair"):
        jobs.append((-0.06 * f.view.front + 0.005, lambda: _long_hair(f)))
    return jobs


def _head(f: Figure) -> None:
    d, up = f.person.details, lift(f)
    turn = f.view.yaw + f.pose.head * (f.view.front > -0.3)
    ahead, front = np.sin(turn), np.cos(turn)
    centre = f.at(0, 0.924 + up, 0.012)
    neck = np.stack([f.at(0, 0.83 + up, 0), f.at(0, 0.89 + up, 0.005)])
    f.canvas.limb(neck, (f.px(0.03), f.px(0.026)), PART["head"], f.skin)
    across = f.px(np.hypot(0.05 * front, 0.06 * ahead))
    skull = f.canvas.polygon(_oval(centre, across, f.px(0.07)), PART["head"], f.skin)
    full = 1.0 + 0.05 * d.hair_style
    hair = HAIR[d.hair_tone]
    back = centre + offset(-f.px(0.014) * ahead, -f.px(0.016 - 0.006 * (front < 0)))
    f.canvas.polygon(_oval(back, across * 1.06 * full, f.px(0.066 * full), 0.3), PART["hair"], hair)
    if front > -0.35:
        face = centre + offset(f.px(0.03) * ahead, f.px(0.014))
        wide = f.px(0.045 * max(front, 0) + 0.036 * abs(ahead) * (1 - max(front, 0)))
        host = f.canvas.polygon(_oval(face, wide, f.px(0.055)), PART["head"], f.skin, skull)
        _features(f, host, face, ahead, front)


def _oval(centre: np.ndarray, across: float, up: float, narrow: float = 0.14) -> np.ndarray:
    """Return the corners (28, 2) of an ellipse whose lower end is narrower by the share ``narrow``."""
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    squeeze = 1 - narrow * np.clip(np.sin(turn), 0, 1)
    return centre + np.stack([across * np.cos(turn) * squeeze, up * np.sin(turn)], 1)


def _features(f: Figure, host: int, face: np.ndarray, ahead: float, front: float) -> None:
    """Paint eyes and mouth on the region ``host``, if the face is turned to the camera."""
    for side in (-1, 1):
        if front - side * ahead * 0.8 > 0.15:
            eye = face + offset(f.px(0.019 * side * max(front, 0.15) + 0.018 * ahead), -f.px(0.008))
            f.canvas.decorate([host], [_oval(eye, f.px(0.0065), f.px(0.0055))], shade(f.skin, -0.75))
    if front > -0.1:
        mouth = face + offset(f.px(0.016 * ahead), f.px(0.026))
        lips = _oval(mouth, f.px(0.013) * max(front, 0.5), f.px(0.0045))
        f.canvas.decorate([host], [lips], (160, 66, 66))


def _long_hair(f: Figure) -> None:
    d, up = f.person.details, lift(f)
    length = (0.16, 0.22, 0.2)[d.hair_style]
    tail = d.hair_style == 2
    top, end = f.at(0, 0.925 + up, -0.028), f.at(0, 0.925 - length + up, -0.052)
    radii = (f.px(0.03), f.px(0.02)) if tail else (f.px(0.058), f.px(0.047))
    f.canvas.limb(np.stack([top, end]), radii, PART["hair"], HAIR[d.hair_tone])
