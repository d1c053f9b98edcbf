"""A person in a pose in front of a camera, and the painting of arms, legs and shoes.

Every part of a person is a job with a depth; painting the jobs in the order of their depths lets near parts cover far
ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fastreid_projects.data.demo.canvas import Canvas, offset
from fastreid_projects.data.demo.palette import SHOES, SKIN, Colour, contrasting
from fastreid_projects.data.demo.person import Person
from fastreid_projects.data.demo.pose import SHOULDER_HEIGHT, Pose, Skeleton, View, bend

PARTS = (
    "background",
    "head",
    "hair",
    "hat",
    "torso",
    "sleeves",
    "arms",
    "lower",
    "legs",
    "shoes",
    "backpack",
    "bag",
    "handbag",
)
"""Body parts: ``head`` is bare skin of face and neck, ``arms`` and ``legs`` are bare skin, ``torso`` and
``sleeves`` upper clothing, ``lower`` lower clothing, the last three carried things with their straps."""
PART = {name: number for number, name in enumerate(PARTS)}
Job = tuple[float, Callable[[], None]]


@dataclass
class Figure:
    """A person in a pose in front of a camera, about to be painted.

    Attributes:
        canvas: the canvas to paint on.
        person: the person to paint.
        view: the camera's view.
        pose: the person's pose.
        width: factor of the body's widths.
        regions: numbers of painted regions by name, for decorations.
    """

    canvas: Canvas
    person: Person
    view: View
    pose: Pose
    width: float = field(init=False)
    regions: dict[str, list[int]] = field(init=False, default_factory=dict)
    skeleton: Skeleton = field(init=False)

    def __post_init__(self) -> None:
        self.width = 0.88 + 0.36 * self.person.details.build
        hips, shoulders = 0.052 * self.width * self.hips, 0.102 * self.width**0.7 * self.shoulders
        self.skeleton = bend(self.pose, hips, shoulders)

    @property
    def hips(self) -> float:
        """Width factor of the hips."""
        return 1.12 if self.person.has("gender") else 0.96

    @property
    def shoulders(self) -> float:
        """Width factor of the shoulders."""
        return 0.9 if self.person.has("gender") else 1.08

    @property
    def skin(self) -> Colour:
        """Colour of bare skin."""
        return SKIN[self.person.details.skin]

    def px(self, length: float) -> float:
        """Convert a length in body heights to pixels."""
        return length * self.view.scale

    def at(self, x: float, y: float, z: float) -> np.ndarray:
        """Return the pixel (2,) of a point of the body."""
        return self.view.project(np.array([x, y, z]))

    def keep(self, name: str, region: int) -> int:
        """Remember a region for later decorations."""
        self.regions.setdefault(name, []).append(region)
        return region


def limb_jobs(f: Figure) -> list[Job]:
    """Return the jobs that paint legs with shoes (always behind the trunk) and arms."""
    jobs: list[Job] = []
    for i in range(2):
        leg = float(f.view.depth((f.skeleton.knee[i] + f.skeleton.ankle[i]) / 2))
        jobs.append((-1 + leg, lambda i=i: _leg(f, i)))  # type: ignore[misc]
        arm = f.view.depth((f.skeleton.shoulder[i] + f.skeleton.elbow[i] + f.skeleton.wrist[i]) / 3)
        jobs.append((float(arm) + 0.015, lambda i=i: _arm(f, i)))  # type: ignore[misc]
    return jobs


def _leg(f: Figure, i: int) -> None:
    d, s = f.person.details, f.skeleton
    hip, knee, ankle = f.view.project(np.stack([s.hip[i], s.knee[i], s.ankle[i]]))
    w, trousers, short = f.width, f.person.has("clothes"), f.person.has("down")
    bare = f.canvas.limb(np.stack([hip, knee]), (f.px(0.05 * w), f.px(0.036 * w)), PART["legs"], f.skin)
    f.canvas.limb(np.stack([knee, ankle]), (f.px(0.036 * w), f.px(0.022 * w)), PART["legs"], f.skin, bare)
    _shoe(f, i)
    if not trousers:
        return
    wide = w * (1.02 + 0.4 * d.cut)
    colour = f.person.lower_colour
    end = knee + (hip - knee) * 0.08 if short else knee
    paint = f.canvas.cloth if short else f.canvas.limb
    cloth = paint(np.stack([hip, end]), (f.px(0.056 * w), f.px(0.041 * wide)), PART["lower"], colour)
    f.keep("lower", cloth)
    if not short:
        hem = ankle + (knee - ankle) * 0.06
        radii = (f.px(0.041 * wide), f.px(0.032 * wide))
        cloth = f.keep("lower", f.canvas.cloth(np.stack([knee, hem]), radii, PART["lower"], colour, cloth))
    _trouser_trim(f, [hip, end] if short else [hip, knee, hem], i)


def _trouser_trim(f: Figure, joints: list[np.ndarray], i: int) -> None:
    d = f.person.details
    trim = contrasting(f.person.lower_colour, d.lower_trim)
    hosts = f.regions["lower"][-len(joints) + 1 :]
    if d.lower_pattern == 1:
        side = np.array([(1 if i else -1) * f.view.front * f.px(0.03 * f.width), 0])
        line = np.stack(joints) + side
        width = f.px(0.011)
        shape = np.concatenate([line + offset(width, 0), line[::-1] - offset(width, 0)])
        f.canvas.decorate(hosts, [shape], trim)
    elif d.lower_pattern == 2:
        end, before = joints[-1], joints[-2]
        start = end + (before - end) * (0.3 if len(joints) > 2 else 0.16)
        side, below = offset(f.px(0.1), 0), end + offset(0, f.px(0.08))
        f.canvas.decorate(hosts, [np.stack([start - side, start + side, below + side, below - side])], trim)


def _shoe(f: Figure, i: int) -> None:
    d, s = f.person.details, f.skeleton
    colour = SHOES[d.shoes]
    heel = s.ankle[i] + offset(0, -0.016, -0.022)
    ends = f.view.project(np.stack([heel, s.toe[i]]))
    radii = (f.px(0.021), f.px(0.0185))
    if d.shoe_type == 1:
        sole = (240, 240, 236) if d.shoes != 1 else (40, 40, 44)
        f.canvas.limb(ends + offset(0, f.px(0.009)), radii, PART["shoes"], sole)
    shoe = f.canvas.limb(ends, radii, PART["shoes"], colour)
    ankle, knee = f.view.project(np.stack([s.ankle[i], s.knee[i]]))
    top = 0.42 if d.shoe_type == 2 else 0.06
    upper = np.stack([ankle + offset(0, f.px(0.012)), ankle + (knee - ankle) * top])
    f.canvas.limb(upper, (f.px(0.022), f.px(0.026 if top > 0.1 else 0.02)), PART["shoes"], colour, shoe)


def _arm(f: Figure, i: int) -> None:
    d, s, w = f.person.details, f.skeleton, f.width
    shoulder, elbow, wrist = f.view.project(np.stack([s.shoulder[i], s.elbow[i], s.wrist[i]]))
    hand = wrist + (wrist - elbow) * 0.16
    colour = f.person.upper_colour
    if d.upper_pattern == 4:
        colour = contrasting(colour, d.upper_trim)
    skin = f.canvas.limb(np.stack([elbow, wrist]), (f.px(0.024 * w), f.px(0.017)), PART["arms"], f.skin)
    f.canvas.limb(np.stack([wrist, hand]), (f.px(0.018), f.px(0.016)), PART["arms"], f.skin, skin)
    if f.person.has("up"):
        f.canvas.limb(
            np.stack([shoulder, elbow]), (f.px(0.03 * w), f.px(0.024 * w)), PART["arms"], f.skin, skin
        )
        end = shoulder + (elbow - shoulder) * 0.68
        radii = (f.px(0.033 * w), f.px(0.034 * w))
        f.keep("sleeves", f.canvas.cloth(np.stack([shoulder, end]), radii, PART["sleeves"], colour))
        return
    radii = (f.px(0.033 * w), f.px(0.03 * w))
    sleeve = f.keep("sleeves", f.canvas.limb(np.stack([shoulder, elbow]), radii, PART["sleeves"], colour))
    end = wrist + (elbow - wrist) * 0.1
    radii = (f.px(0.031 * w), f.px(0.025 * w))
    f.keep("sleeves", f.canvas.cloth(np.stack([elbow, end]), radii, PART["sleeves"], colour, sleeve))


def column(f: Figure, levels: list[tuple[float, float, float]]) -> np.ndarray:
    """Return the outline of an upright body from (height, half width, half depth) of its levels, lowest first."""
    right = []
    left = []
    for y, across, deep in levels:
        middle = f.at(0, y, 0)
        half = f.view.half_width(across, deep)
        right.append(middle + offset(half, 0))
        left.append(middle - offset(half, 0))
    return np.stack(right + left[::-1])


def lift(f: Figure) -> float:
    """Return by how much the pose raises the trunk, in body heights."""
    return float(f.skeleton.shoulder[0, 1]) - SHOULDER_HEIGHT
