"""Describe a signed map in words, for readers who cannot see its colours or have never read such a map.

| letter | meaning                     |
| ------ | --------------------------- |
| h, w   | height and width of a map   |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_THIRDS = ("upper", "middle", "lower")


def thirds(*maps: NDArray[Any]) -> list[float] | None:
    """Return the shares of the positive values that lie in the upper, middle and lower third of the images.

    Args:
        maps: (h, w) each; a row of cells on a boundary is divided between both sides.

    Returns:
        Three shares in 0..1 that add up to 1; None if no value is positive.
    """
    totals = np.zeros(3)
    for shares in maps:
        rows = np.clip(np.asarray(shares, dtype=np.float64), 0, None).sum(axis=1)
        ends = np.linspace(0, len(rows), 4)
        below = np.interp(ends, np.arange(len(rows) + 1), np.concatenate([[0.0], np.cumsum(rows)]))
        totals += np.diff(below)
    return (totals / totals.sum()).tolist() if totals.sum() > 0 else None


def in_words(shares: Sequence[float] | None) -> str:
    """Say in which third of the images the parts are that push two images apart.

    Example:
        >>> print(in_words([0.25, 0.6, 0.15]).partition("middle")[0])
        Of what pushes them apart, 60 % is in the
    """
    if shares is None:
        return "No part of the photographs pushes them apart."
    percents = _whole_percents(shares)
    first, second, third = sorted(range(3), key=lambda i: -percents[i])
    return (
        f"Of what pushes them apart, {percents[first]} % is in the {_THIRDS[first]} third of the photographs, "
        f"{percents[second]} % in the {_THIRDS[second]}, {percents[third]} % in the {_THIRDS[third]}."
    )


def _whole_percents(shares: Sequence[float]) -> list[int]:
    """Return the shares as whole percentages that add up to 100."""
    ends = [round(100 * sum(shares[: i + 1])) for i in range(3)]
    return [ends[0], ends[1] - ends[0], 100 - ends[1]]
