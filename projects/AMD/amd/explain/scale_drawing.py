"""Draw the scale of a pair: distances of pairs of one person and of different persons, and this pair among them."""

from __future__ import annotations

from functools import lru_cache
from html import escape

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from .distance_scale import DistanceScale
from .distribution import Distribution

_WIDTH, _HEIGHT = 640, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 16, 16, 44, 34
_POINTS, _SAMPLES = 160, 500
# Dark enough on white; the dashes tell them apart for colour-blind readers and in print.
_SAME, _DIFFERENT = "#0b61a4", "#b34700"


def draw_scale(scale: DistanceScale, distance: float, printed: str) -> str:
    """Draw both distributions and mark a pair on them.

    Args:
        scale: the measured distances.
        distance: the distance of the pair.
        printed: the distance as text.

    Returns:
        Inline SVG without script, style sheet or ids, so that a page can hold many; "" if nothing was measured.
    """
    kinds = [k for k in ((scale.one_person, _SAME), (scale.different, _DIFFERENT)) if k[0] is not None]
    if not kinds:
        return ""
    measured = [d for d, _ in kinds if d is not None]
    top = max(*(d.quantiles[-1] for d in measured), distance, 1e-12) * 1.04
    words = {_SAME: scale.one_person_words.removeprefix("pairs of "), _DIFFERENT: "different persons"}
    parts = [_curve(d, colour, top) for d, colour in kinds if d is not None]
    parts += [_legend(i, words[colour], colour) for i, (_, colour) in enumerate(kinds)]
    parts += [*_axis(top), _marker(distance / top, printed)]
    label = escape(f"Distances of pairs in {scale.dataset}; this pair: {printed}", quote=True)
    head = f'<svg class="distance-scale" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
    head += f'role="img" aria-label="{label}" font-family="sans-serif" font-size="13" fill="currentColor" '
    return "".join([head, f'style="max-width:{_WIDTH}px;width:100%;height:auto">', *parts, "</svg>"])


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _curve(distribution: Distribution, colour: str, top: float) -> str:
    heights = _density(distribution, top)
    low = _HEIGHT - _BOTTOM
    ys = low - heights / heights.max() * (low - _TOP)
    xs = [_x(i / (_POINTS - 1)) for i in range(_POINTS)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    dashes = ' stroke-dasharray="5 3"' if colour == _DIFFERENT else ""
    return (
        f'<polygon points="{_x(0):.1f},{low} {line} {_x(1):.1f},{low}" fill="{colour}" fill-opacity="0.18"/>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
    )


@lru_cache(maxsize=64)
def _density(distribution: Distribution, top: float) -> NDArray[np.float64]:
    """Return the heights of the curve at evenly spaced distances 0..top, (_POINTS,)."""
    sample = distribution.sample(_SAMPLES)
    sample = (
        sample + np.linspace(-1e-3, 1e-3, _SAMPLES) * top
    )  # if all distances are equal, the curve has no width
    return np.asarray(gaussian_kde(sample)(np.linspace(0, top, _POINTS)))


def _legend(row: int, words: str, colour: str) -> str:
    x = _LEFT + row * 250
    dashes = ' stroke-dasharray="5 3"' if colour == _DIFFERENT else ""
    line = f'<line x1="{x}" x2="{x + 22}" y1="10" y2="10" stroke="{colour}" stroke-width="2"{dashes}/>'
    return f'{line}<text x="{x + 28}" y="14">{escape(words)}</text>'


def _axis(top: float) -> list[str]:
    low = _HEIGHT - _BOTTOM
    parts = [f'<line x1="{_x(0)}" x2="{_x(1)}" y1="{low}" y2="{low}" stroke="currentColor"/>']
    for tick in _ticks(top):
        x = _x(tick / top)
        parts.append(f'<text x="{x:.1f}" y="{low + 16}" text-anchor="middle" font-size="11">{tick:g}</text>')
    parts.append(f'<text x="{_x(0.5)}" y="{low + 31}" text-anchor="middle" font-size="11">distance</text>')
    return parts


def _ticks(top: float) -> list[float]:
    """Return about six round numbers in 0..top."""
    rough = top / 6
    power = 10 ** np.floor(np.log10(rough))
    step = float(power * next(m for m in (1, 2, 5, 10) if m * power >= rough))
    return [float(f"{i * step:.10g}") for i in range(int(top / step) + 1)]


def _marker(share: float, printed: str) -> str:
    x, low = _x(share), _HEIGHT - _BOTTOM
    anchor = "start" if share < 0.15 else "end" if share > 0.85 else "middle"
    place = f'x="{x:.1f}" y="{_TOP - 8}" text-anchor="{anchor}" font-weight="bold"'
    line = f'x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 4}" y2="{low}" stroke="currentColor" stroke-width="2.5"'
    return f"<line {line}/><text {place}>this pair: {escape(printed)}</text>"
