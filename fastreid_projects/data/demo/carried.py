"""Paint what is worn or carried besides clothing: hat, backpack, shoulder bag, handbag."""

from __future__ import annotations

import numpy as np

from fastreid_projects.data.demo.canvas import box, ellipse, offset
from fastreid_projects.data.demo.figure import PART, Figure, Job, lift
from fastreid_projects.data.demo.palette import THINGS, TRIMS, Colour, shade
from fastreid_projects.data.demo.pose import SIDES


def carried_jobs(f: Figure) -> list[Job]:
    """Return the jobs that paint everything this person carries, with their depths."""
    jobs: list[Job] = []
    front, d = f.view.front, f.person.details
    if f.person.has("hat"):
        jobs.append((0.03, lambda: _hat(f)))
    if f.person.has("backpack"):
        jobs += [(-0.12 * front, lambda: _pack(f)), (0.004, lambda: _pack_straps(f))]
    if f.person.has("bag"):
        depth = float(f.view.depth(np.array([0.13 * d.bag_side, 0.0, 0.0])))
        jobs += [(depth if depth > -0.05 else -0.6, lambda: _bag(f)), (0.006, lambda: _bag_strap(f))]
    if f.person.has("handbag"):
        wrist = f.skeleton.wrist[SIDES.index(d.bag_side)]
        depth = float(f.view.depth(wrist))
        jobs.append((depth + 0.03 if depth > -0.06 else -2.0, lambda: _handbag(f, wrist)))
    return jobs


def _hat(f: Figure) -> None:
    d = f.person.details
    turn = f.view.yaw + f.pose.head * (f.view.front > -0.3)
    ahead, front = float(np.sin(turn)), float(np.cos(turn))
    colour = THINGS[d.hat_tone]
    top = f.at(0, 0.958 + lift(f), 0.005)
    across = f.px(np.hypot(0.058 * front, 0.066 * ahead))
    turned = np.linspace(np.pi, 2 * np.pi, 16)
    dome = top + np.stack([across * np.cos(turned), f.px(0.058) * np.sin(turned)], 1)
    crown = f.canvas.polygon(dome, PART["hat"], colour)
    if d.hat_shape == 0 and front > -0.5:
        brim = top + offset(f.px(0.055) * ahead, f.px(0.004))
        wide = f.px(0.052 * max(front, 0) + 0.045 * abs(ahead))
        f.canvas.polygon(ellipse(brim, wide, f.px(0.011)), PART["hat"], shade(colour, -0.3))
    elif d.hat_shape == 1:
        f.canvas.polygon(box(top, across * 1.03, f.px(0.014)), PART["hat"], shade(colour, 0.25))
        f.canvas.polygon(
            ellipse(top - offset(0, f.px(0.062)), f.px(0.018), f.px(0.018)), PART["hat"], shade(colour, 0.4)
        )
    elif d.hat_shape == 2:
        f.canvas.polygon(ellipse(top, across * 1.75, f.px(0.014)), PART["hat"], colour)
        f.canvas.decorate(
            [crown], [box(top - offset(0, f.px(0.018)), across * 1.2, f.px(0.01))], shade(colour, -0.5)
        )


def _pack(f: Figure) -> None:
    d, up = f.person.details, lift(f)
    colour = THINGS[d.pack_tone]
    across, tall, y = ((0.088, 0.125, 0.685), (0.08, 0.095, 0.7), (0.098, 0.15, 0.69))[d.pack_shape]
    centre = f.at(0, y + up, -0.125)
    wide = f.view.half_width(across, 0.06)
    pack = f.canvas.polygon(box(centre, wide, f.px(tall), 0.5), PART["backpack"], colour)
    if d.pack_shape == 2:
        roll = centre - offset(0, f.px(tall + 0.005))
        f.canvas.polygon(box(roll, wide * 1.05, f.px(0.025), 0.6), PART["backpack"], shade(colour, 0.45))
    if f.view.front < -0.2:
        facing = -f.view.front
        pocket = centre + offset(0, f.px(tall * 0.4))
        lid = centre - offset(0, f.px(tall * 0.45))
        f.canvas.decorate([pack], [box(pocket, wide * 0.68 * facing, f.px(tall * 0.38))], shade(colour, 0.22))
        f.canvas.decorate([pack], [box(lid, wide * 0.95, f.px(0.005))], shade(colour, -0.55))
        f.canvas.decorate([pack], [box(pocket, wide * 0.68 * facing, f.px(0.004))], TRIMS[d.pack_tone % 5])


def _pack_straps(f: Figure) -> None:
    """Paint two bands over the shoulders and down the chest; from the side, only one is visible."""
    up = lift(f)
    colour = shade(THINGS[f.person.details.pack_tone], -0.15)
    for side in SIDES:
        line = [(0.062 * side, 0.835, -0.02), (0.066 * side, 0.82, 0.06), (0.068 * side, 0.72, 0.085)]
        line += [(0.082 * side, 0.62, 0.06), (0.098 * side, 0.6, 0.0)]
        points = np.array(line) * (f.width**0.7, 1, f.width) + offset(0, up, 0)
        shown = f.view.depth(points * (1, 0, 1)) > 0.0
        pixels = f.view.project(points)
        for i in range(len(points) - 1):
            if shown[i : i + 2].all():
                f.canvas.limb(pixels[i : i + 2], (f.px(0.0125), f.px(0.0125)), PART["backpack"], colour)


def _bag_centre(f: Figure) -> tuple[np.ndarray, float, float]:
    """Return the centre (3,) of the shoulder bag, its half width and half height in body heights."""
    d = f.person.details
    across, tall, y = ((0.085, 0.055, 0.5), (0.055, 0.08, 0.48), (0.065, 0.065, 0.54))[d.bag_shape]
    return np.array([d.bag_side * (0.115 * f.width + 0.02), y + lift(f), -0.01]), across, tall


def _bag(f: Figure) -> None:
    d = f.person.details
    colour = THINGS[d.bag_tone]
    centre, across, tall = _bag_centre(f)
    middle = f.view.project(centre)
    wide = f.view.half_width(0.045, across)
    rounding = (0.25, 0.3, 0.9)[d.bag_shape]
    bag = f.canvas.polygon(box(middle, wide, f.px(tall), rounding), PART["bag"], colour)
    flap = middle - offset(0, f.px(tall * 0.5))
    f.canvas.decorate([bag], [box(flap, wide * 1.1, f.px(tall * 0.5))], shade(colour, 0.2))
    f.canvas.decorate([bag], [box(middle, wide * 0.16, f.px(0.012))], (216, 190, 110))


def _bag_strap(f: Figure) -> None:
    """Paint the strap from the bag across chest or back to the other shoulder, or straight up for the third shape."""
    d, up = f.person.details, lift(f)
    centre, _, tall = _bag_centre(f)
    face = 1 if f.view.front >= 0 else -1
    other = d.bag_side if d.bag_shape == 2 else -d.bag_side
    shoulder = np.array([0.062 * other, 0.84 + up, 0.0])
    middle = (shoulder + centre) / 2 + offset(0, 0.02, 0.085 * face * f.width)
    if d.bag_shape == 2:
        middle[0] = d.bag_side * 0.1 * f.width
    end = centre + offset(0, tall * 0.9, 0.02 * face)
    pixels = f.view.project(np.stack([shoulder, middle, end]))
    colour = shade(THINGS[d.bag_tone], -0.35)
    for i in range(2):
        f.canvas.limb(pixels[i : i + 2], (f.px(0.0085), f.px(0.0085)), PART["bag"], colour)


def _handbag(f: Figure, wrist: np.ndarray) -> None:
    d = f.person.details
    across, tall, drop = ((0.075, 0.06, 0.13), (0.05, 0.045, 0.1), (0.06, 0.085, 0.13))[d.handbag_shape]
    colour: Colour = (236, 236, 240) if d.handbag_shape == 2 else THINGS[d.handbag_tone]
    hand = f.view.project(wrist - offset(0, 0.02, 0))
    middle = hand + offset(0, f.px(drop))
    wide = f.view.half_width(0.035, across)
    for side in SIDES:
        line = np.stack([hand, middle + offset(side * wide * 0.6, -f.px(tall * 0.9))])
        f.canvas.limb(line, (f.px(0.006), f.px(0.006)), PART["handbag"], shade(colour, -0.3))
    corners = box(middle, wide, f.px(tall), 0.3)
    corners[:, 0] += (corners[:, 0] - middle[0]) * 0.18 * (corners[:, 1] > middle[1])
    bag = f.canvas.polygon(corners, PART["handbag"], colour)
    f.canvas.decorate(
        [bag], [box(middle - offset(0, f.px(tall * 0.75)), wide * 1.3, f.px(0.008))], shade(colour, -0.4)
    )
    if d.handbag_shape == 2:
        f.canvas.decorate([bag], [ellipse(middle, wide * 0.5, f.px(0.025))], THINGS[d.handbag_tone])
