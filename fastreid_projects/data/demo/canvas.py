"""A canvas of flat regions, painted one over the other: an image of region numbers, which gives colours and masks.

| letter | meaning                                                    |
| ------ | ---------------------------------------------------------- |
| H, W   | height and width of the picture                            |
| K      | number of corners                                          |

The canvas has ``SCALE`` times the picture's resolution; reducing it gives smooth edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fastreid_projects.data.demo.palette import Colour

SCALE = 2
_BITS = 4  # corners have a precision of 1/16 pixel
_TURN = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], 1)


class Canvas:
    """Regions, each with a colour, a body part and the solid it belongs to; region 0 is the background.

    Attributes:
        region: uint8 (SCALE*H, SCALE*W).
    """

    def __init__(self, height: int, width: int) -> None:
        self.region = np.zeros((height * SCALE, width * SCALE), np.uint8)
        self._colours: list[Colour] = [(0, 0, 0)]
        self._parts = [0]
        self._solids = [0]

    def polygon(self, corners: np.ndarray, part: int, colour: Colour, solid: int | None = None) -> int:
        """Paint a polygon (K, 2) and return its region; regions of the same solid are shaded as one body."""
        number = self._add(part, colour, solid)
        cv2.fillPoly(self.region, [_fixed(corners)], number, shift=_BITS)
        return number

    def limb(
        self,
        ends: np.ndarray,
        radii: tuple[float, float],
        part: int,
        colour: Colour,
        solid: int | None = None,
    ) -> int:
        """Paint a capsule between two points (2, 2) with a radius at each."""
        return self.polygon(capsule(ends, radii), part, colour, solid)

    def cloth(
        self,
        ends: np.ndarray,
        radii: tuple[float, float],
        part: int,
        colour: Colour,
        solid: int | None = None,
    ) -> int:
        """Paint a limb's clothing, which ends straight at the second point."""
        return self.polygon(tube(ends, radii), part, colour, solid)

    def decorate(self, hosts: Sequence[int], shapes: Sequence[np.ndarray], colour: Colour) -> None:
        """Paint polygons onto the visible pixels of the regions ``hosts`` only, keeping their parts."""
        stencil = np.zeros_like(self.region)
        for corners in shapes:
            cv2.fillPoly(stencil, [_fixed(corners)], 1, shift=_BITS)
        for host in hosts:
            number = self._add(self._parts[host], colour, self._solids[host])
            self.region[(stencil > 0) & (self.region == host)] = number

    def _add(self, part: int, colour: Colour, solid: int | None) -> int:
        self._colours.append(colour)
        self._parts.append(part)
        self._solids.append(len(self._solids) if solid is None else self._solids[solid])
        return len(self._parts) - 1

    @property
    def colours(self) -> np.ndarray:
        """RGB, uint8 (SCALE*H, SCALE*W, 3)."""
        return np.array(self._colours, np.uint8)[self.region]

    @property
    def parts(self) -> np.ndarray:
        """Body parts, uint8 (SCALE*H, SCALE*W)."""
        return np.array(self._parts, np.uint8)[self.region]

    @property
    def solids(self) -> np.ndarray:
        """Numbers of the bodies for the shading, uint8 (SCALE*H, SCALE*W)."""
        return np.array(self._solids, np.uint8)[self.region]


def _fixed(corners: np.ndarray) -> np.ndarray:
    return np.round(np.asarray(corners, float) * 2**_BITS).astype(np.int32)


def offset(*components: float) -> np.ndarray:
    """Return a vector, for moving points."""
    return np.array(components, float)


def ellipse(centre: np.ndarray, across: float, up: float) -> np.ndarray:
    """Return the corners (24, 2) of an upright ellipse with these half axes."""
    return np.asarray(centre, float) + _CIRCLE * (across, up)


def capsule(ends: np.ndarray, radii: tuple[float, float]) -> np.ndarray:
    """Return the corners (K, 2) of the hull of two circles."""
    circles = [end + radius * _CIRCLE for end, radius in zip(np.asarray(ends, float), radii, strict=True)]
    return cv2.convexHull(np.concatenate(circles).astype(np.float32))[:, 0]


def tube(ends: np.ndarray, radii: tuple[float, float]) -> np.ndarray:
    """Return the corners (K, 2) of a capsule that is cut straight at its second end, like a sleeve."""
    start, end = np.asarray(ends, float)
    along = (end - start) / max(float(np.hypot(*(end - start))), 1e-6)
    side = np.array([-along[1], along[0]]) * radii[1]
    corners = np.concatenate(
        [start + radii[0] * _CIRCLE, [end + side, end - side, end + along * radii[1] * 0.25]]
    )
    return cv2.convexHull(corners.astype(np.float32))[:, 0]


def box(centre: np.ndarray, across: float, up: float, rounding: float = 0.3) -> np.ndarray:
    """Return the corners (24, 2) of a rounded box; ``rounding`` 1 gives an ellipse, near 0 a rectangle."""
    return np.asarray(centre, float) + np.sign(_CIRCLE) * np.abs(_CIRCLE) ** rounding * (across, up)


def shading(solids: np.ndarray, roundness: float, light: float, outline: float) -> np.ndarray:
    """Return brightness factors around 1, float32 (SCALE*H, SCALE*W, 1), as if every solid were a cushion.

    Args:
        solids: uint8 numbers of the bodies.
        roundness: width in pixels of the slope at the borders.
        light: direction of the light in radians (0 from the right, pi/2 from above).
        outline: how much the outermost pixels are darkened, 0..1.
    """
    border = cv2.morphologyEx(solids, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    inside = cv2.distanceTransform((~border).astype(np.uint8), cv2.DIST_L2, 3)
    height = np.sqrt(1 - (1 - np.minimum(inside / roundness, 1)) ** 2) * roundness
    height = cv2.GaussianBlur(height, (0, 0), 2.0)
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=0.125)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=0.125)
    facing = (-slope_x * np.cos(light) + slope_y * np.sin(light) + 1.3) / np.sqrt(slope_x**2 + slope_y**2 + 1)
    factor = 0.5 + 0.42 * np.clip(facing, 0, 1.8)
    return (factor * (1 - outline * np.clip(1 - inside / 2.5, 0, 1)))[..., None]
