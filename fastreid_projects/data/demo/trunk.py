"""Paint the trunk: the upper clothing with its pattern, and a skirt or the seat of the trousers."""

from __future__ import annotations

import numpy as np

from fastreid_projects.data.demo.canvas import box, ellipse, offset
from fastreid_projects.data.demo.figure import PART, Figure, Job, column, lift
from fastreid_projects.data.demo.palette import Colour, contrasting


def trunk_jobs(f: Figure) -> list[Job]:
    """Return the jobs for the lower clothing around the hips and the upper clothing."""
    return [(-0.5, lambda: _seat(f) if f.person.has("clothes") else _skirt(f)), (0.0, lambda: _torso(f))]


def _seat(f: Figure) -> None:
    w, h, up = f.width, f.hips, lift(f)
    levels = [(0.47, 0.075, 0.07), (0.52, 0.09, 0.075), (0.6, 0.082, 0.066)]
    outline = column(f, [(y + up, a * w * h, b * w) for y, a, b in levels])
    solid = f.regions["lower"][0] if "lower" in f.regions else None
    f.keep("seat", f.canvas.polygon(outline, PART["lower"], f.person.lower_colour, solid))


def _skirt(f: Figure) -> None:
    d, w, h, up = f.person.details, f.width, f.hips, lift(f)
    hem = 0.33 + 0.05 * (1 - d.cut) if f.person.has("down") else 0.1
    flare = (0.115 if f.person.has("down") else 0.12) + 0.03 * d.cut
    knees = f.skeleton.knee
    deep = max(0.09, float(np.abs(knees[:, 2]).max()) + 0.04)
    levels = [(hem, flare * w, deep), (0.5, 0.095 * w * h, 0.085 * w), (0.62, 0.08 * w * h, 0.066 * w)]
    outline = column(f, [(y + up, a, b) for y, a, b in levels])
    skirt = f.keep("skirt", f.canvas.polygon(outline, PART["lower"], f.person.lower_colour))
    trim = contrasting(f.person.lower_colour, d.lower_trim)
    if d.lower_pattern:
        heights = [(0.0, 0.035)] if d.lower_pattern == 2 else [(0.06, 0.022), (0.13, 0.022)]
        f.canvas.decorate([skirt], [_belt(f, hem + up + y, thick) for y, thick in heights], trim)


def _belt(f: Figure, y: float, thick: float) -> np.ndarray:
    """Return a band around the body, wider than the body, from height ``y`` upwards."""
    return column(f, [(y, 0.4, 0.4), (y + thick, 0.4, 0.4)])


def _torso(f: Figure) -> None:
    d, w, up = f.person.details, f.width, lift(f)
    sh, hip, woman = f.shoulders, f.hips, f.person.has("gender")
    end = 0.475 - (0.11 * (d.hem - 0.75) * 4 if d.hem > 0.75 else 0) + 0.03 * (1 - d.hem)
    waist = 0.07 if woman else 0.083
    levels = [
        (end, 0.094 * w * hip + 0.15 * max(0, 0.45 - end), 0.08 * w + 0.1 * max(0, 0.45 - end)),
        (0.535, 0.092 * w * hip, 0.078 * w),
        (0.63, waist * w * 1.06, 0.066 * w + 0.014 * d.build),
        (0.73, 0.099 * w * sh, 0.08 * w),
        (0.785, 0.118 * w**0.7 * sh, 0.066 * w),
        (0.812, 0.106 * w**0.7 * sh, 0.056),
        (0.832, 0.066 * sh, 0.044),
        (0.85, 0.034, 0.034),
    ]
    outline = column(f, [(y + up, a, b) for y, a, b in levels])
    torso = f.keep("torso", f.canvas.polygon(outline, PART["torso"], f.person.upper_colour))
    _pattern(f, torso, end)
    if f.view.front > 0.25:
        collar = ellipse(f.at(0, 0.848 + up, 0.035), f.px(0.03) * f.view.front, f.px(0.02))
        f.canvas.polygon(collar, PART["head"], f.skin)


def _pattern(f: Figure, torso: int, end: float) -> None:
    d, up = f.person.details, lift(f)
    base = f.person.upper_colour
    trim = contrasting(base, d.upper_trim)
    if d.upper_pattern == 1:
        steps = np.arange(end + 0.03, 0.84, 0.062)
        f.canvas.decorate([torso], [_belt(f, y + up, 0.021) for y in steps], trim)
    elif d.upper_pattern == 2:
        f.canvas.decorate(
            [torso], [_upright(f, angle, end) for angle in np.arange(0, 2 * np.pi, np.pi / 7)], trim
        )
    elif d.upper_pattern == 3:
        _print(f, torso, trim)
    elif d.upper_pattern == 5:
        f.canvas.decorate([torso], [_belt(f, end - 0.2 + up, 0.83 - end)], trim)
    elif d.upper_pattern == 6 and f.view.front > 0.15:
        _shirt(f, torso, end, trim)


def _upright(f: Figure, angle: float, end: float) -> np.ndarray:
    """Return a stripe along the trunk at ``angle`` around it; it is empty if turned away from the camera."""
    x, z = 0.1 * f.width * np.sin(angle), 0.075 * f.width * np.cos(angle)
    if f.view.depth(np.array([x, 0.0, z])) < 0.01:
        return np.zeros((3, 2))
    up = lift(f)
    line = np.stack([f.at(x, y + up, z) for y in (end - 0.1, 0.86)])
    half = np.array([f.px(0.0065), 0])
    return np.concatenate([line + half, line[::-1] - half])


def _print(f: Figure, torso: int, trim: Colour) -> None:
    """Paint a motif on the chest and a broader one on the back; its shape depends on the trim's number."""
    d, up = f.person.details, lift(f)
    facing = f.view.front
    if abs(facing) < 0.3:
        return
    z = 0.075 * f.width * np.sign(facing)
    centre = f.at(0, (0.715 if facing > 0 else 0.7) + up, z)
    across, tall = f.px(0.052) * abs(facing), f.px(0.042 if facing > 0 else 0.06)
    shape = d.upper_trim % 3
    if shape == 0:
        f.canvas.decorate([torso], [ellipse(centre, across * 0.9, tall)], trim)
    elif shape == 1:
        f.canvas.decorate([torso], [box(centre, across, tall * 0.75)], trim)
    else:
        cross = [box(centre, across, tall * 0.3), box(centre, across * 0.35, tall * 1.2)]
        f.canvas.decorate([torso], cross, trim)


def _shirt(f: Figure, torso: int, end: float, trim: Colour) -> None:
    """Paint the shirt that an open jacket shows in front."""
    up, z = lift(f), 0.08 * f.width
    top, bottom = f.at(0, 0.85 + up, z), f.at(0, end - 0.05 + up, z)
    side = offset(f.px(0.034) * f.view.front, 0)
    f.canvas.decorate([torso], [np.stack([top - side, top + side, bottom + side, bottom - side])], trim)
