"""The cameras of both domains, and the shots that they take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HEIGHT, WIDTH = 256, 128


@dataclass(frozen=True)
class Camera:
    """One camera of a domain.

    Attributes:
        backdrop: name of the scene behind the people.
        gain: brightness, 1 neutral.
        gamma: exponent on 0..1; above 1 darkens the middle.
        cast: factors of red, green and blue.
        haze: share of flat grey mixed in, 0..1.
        saturation: 1 neutral, 0 grey.
        blur: sigma in pixels of the 256x128 image.
        sharpness: share of the resolution that the sensor keeps, 0..1.
        noise: sigma of the sensor noise on 0..255.
        pitch: degrees by which the camera looks down.
        light: degrees, from where the light comes (0 right, 90 above).
        yaws: directions in which people walk, in degrees (0 to the camera, 90 to the right, 180 away).
        shares: probability of each of ``yaws``.
    """

    backdrop: str
    gain: float
    gamma: float
    cast: tuple[float, float, float]
    haze: float
    saturation: float
    blur: float
    sharpness: float
    noise: float
    pitch: float
    light: float
    yaws: tuple[float, ...]
    shares: tuple[float, ...]


CAMERAS: dict[str, tuple[Camera, ...]] = {
    "A": (
        Camera("plaza", 1.12, 0.95, (1.04, 1.0, 0.93), 0.04, 1.05, 0.5, 0.9, 3, 8, 60, (0, 180), (0.7, 0.3)),
        Camera("lawn", 1.0, 1.0, (0.95, 1.05, 0.92), 0.06, 1.0, 0.8, 0.7, 4, 10, 130, (180, 0), (0.75, 0.25)),
        Camera(
            "shop",
            0.9,
            1.1,
            (1.1, 0.98, 0.84),
            0.05,
            0.95,
            0.6,
            0.8,
            5,
            12,
            90,
            (90, 270, 0),
            (0.6, 0.3, 0.1),
        ),
        Camera("road", 1.05, 1.0, (0.9, 0.98, 1.1), 0.14, 0.85, 0.9, 0.6, 4, 7, 40, (270, 180), (0.6, 0.4)),
        Camera(
            "hall",
            0.78,
            1.2,
            (0.96, 1.06, 0.98),
            0.02,
            0.9,
            0.7,
            0.75,
            7,
            15,
            90,
            (0, 45, 315),
            (0.5, 0.3, 0.2),
        ),
        Camera(
            "bricks",
            0.98,
            1.05,
            (1.0, 0.95, 1.05),
            0.1,
            0.75,
            1.3,
            0.5,
            6,
            9,
            140,
            (180, 135, 225),
            (0.6, 0.2, 0.2),
        ),
    ),
    "B": (
        Camera("snow", 1.15, 0.9, (0.94, 1.0, 1.1), 0.18, 0.75, 0.7, 0.7, 4, 14, 120, (0, 180), (0.5, 0.5)),
        Camera(
            "night", 0.62, 1.15, (1.14, 0.96, 0.72), 0.03, 0.9, 1.0, 0.6, 11, 12, 80, (180, 225), (0.7, 0.3)
        ),
        Camera("metro", 0.85, 1.05, (0.9, 1.06, 0.96), 0.05, 0.7, 0.8, 0.7, 8, 20, 90, (90, 270), (0.5, 0.5)),
        Camera("mall", 1.08, 1.0, (1.1, 1.0, 0.86), 0.06, 1.1, 0.6, 0.8, 4, 18, 90, (0, 315), (0.6, 0.4)),
        Camera(
            "garage",
            0.66,
            1.25,
            (0.92, 1.0, 1.06),
            0.08,
            0.55,
            1.2,
            0.5,
            10,
            16,
            60,
            (270, 180, 0),
            (0.4, 0.3, 0.3),
        ),
    ),
}
OCCLUDERS = ("none", "pole", "bush", "bin", "bicycle", "passer")
_OCCLUDER_SHARES = (0.72, 0.05, 0.07, 0.05, 0.05, 0.06)


@dataclass(frozen=True)
class Shot:
    """One picture to be taken; it does not depend on the person in front of the camera.

    Attributes:
        domain: ``"A"`` or ``"B"``.
        camera: 0-based number within the domain.
        yaw: degrees, 0 facing the camera, 90 walking to the right, 180 seen from behind.
        seed: seed of the pose, the noise and the occluder.
        place: 0..1, which piece of the scene is the background.
        zoom: height of an average body as a share of the image height; above 1, the box cuts the body.
        shift: distance of the body from the centre, in shares of width and height.
        light: brightness factor at this moment.
        occluder: one of ``OCCLUDERS``.
        quality: JPEG quality, 1..100.
    """

    domain: str
    camera: int
    yaw: float
    seed: int
    place: float = 0.5
    zoom: float = 0.9
    shift: tuple[float, float] = (0.0, 0.0)
    light: float = 1.0
    occluder: str = "none"
    quality: int = 85

    @property
    def settings(self) -> Camera:
        """The camera's own settings."""
        return CAMERAS[self.domain][self.camera]

    def rng(self, stream: int) -> np.random.Generator:
        """Return a random generator of this shot; each use has its own ``stream``, so that uses are independent."""
        return np.random.default_rng([self.seed, stream])


@dataclass(frozen=True)
class Pass:
    """The properties that all shots of one walk past a camera share."""

    domain: str
    camera: int
    yaw: float
    place: float
    light: float


def sample_pass(domain: str, camera: int, rng: np.random.Generator) -> Pass:
    """Choose the direction, the place and the light of one walk past a camera."""
    settings = CAMERAS[domain][camera]
    yaw = float(rng.choice(settings.yaws, p=settings.shares)) + float(rng.normal(0, 20))
    return Pass(domain, camera, yaw % 360, float(rng.random()), float(rng.uniform(0.7, 1.25)))


def sample_shot(
    walk: Pass, rng: np.random.Generator, bad_box: bool = False, misalignment: float = 1.0
) -> Shot:
    """Take one shot of a walk; a bad box (junk) is far too wide or cuts most of the body.

    ``misalignment`` scales how far a box is off in size and position, and how many boxes cut the feet.
    """
    loose = rng.random()
    off = 0.09 * misalignment * rng.normal()
    zoom = float(np.clip(0.9 + off, 0.9 - 0.2 * misalignment, 0.9 + 0.18 * misalignment))
    shift = (float(rng.normal(0, 0.07 * misalignment)), float(rng.normal(0, 0.025 * misalignment)))
    if bad_box:
        zoom = 0.45 if loose < 0.3 else 1.25
        shift = (float(rng.choice((-1, 1)) * rng.uniform(0.28, 0.4)), float(rng.uniform(-0.25, 0.25)))
    elif loose < 0.12 * misalignment:  # cut: the legs end above the feet
        zoom, shift = zoom * 1.25, (shift[0], 0.13)
    return Shot(
        walk.domain,
        walk.camera,
        yaw=(walk.yaw + float(rng.normal(0, 8))) % 360,
        seed=int(rng.integers(2**31)),
        place=float(np.clip(walk.place + rng.normal(0, 0.04), 0, 1)),
        zoom=zoom,
        shift=shift,
        light=walk.light * float(rng.uniform(0.95, 1.05)),
        occluder=str(rng.choice(OCCLUDERS, p=_OCCLUDER_SHARES)),
        quality=int(rng.integers(45, 88)),
    )
