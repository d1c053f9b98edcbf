"""Where a signed map lies, in words: for readers who do not see its colours, and for those who have never read one.

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
    """Return how what is above 0 is shared by the upper, middle and lower third of the images, in 0..1.

    Args:
        maps: (h, w) each; a row of cells on a boundary counts to both sides.

    Returns:
        Three shares that add up to 1; None where nothing is above 0.
    """
    totals = np.zeros(3)
    for shares in maps:
        rows = np.clip(np.asarray(shares, dtype=np.float64), 0, None).sum(axis=1)
        ends = np.linspace(0, len(rows), 4)
        below = np.interp(ends, np.arange(len(rows) + 1), np.concatenate([[0.0], np.cumsum(rows)]))
        totals += np.diff(below)
    return (totals / totals.sum()).tolist() if totals.sum() > 0 else None


def in_words(shares: Sequence[float] | None) -> str:
    """Say where the parts lie that push two images apart.

    Example:
        >>> print(in_words([0.25, 0.6, 0.15]).partition("middle")[0])
        Of what pushes them apart, 60 % lies in the
    """
    if shares is None:
        return "No part of the photographs pushes them apart."
    percents = _whole_percents(shares)
    first, second, third = sorted(range(3), key=lambda i: -percents[i])
    return (
        f"Of what pushes them apart, {percents[first]} % lies in the {_THIRDS[first]} third of the photographs, "
        f"{percents[second]} % in the {_THIRDS[second]}, {percents[third]} % in the {_THIRDS[third]}."
    )


def _whole_percents(shares: Sequence[float]) -> list[int]:
    """Per cent without decimals that add up to 100."""
    ends = [round(100 * sum(shares[: i + 1])) for i in range(3)]
    return [ends[0], ends[1] - ends[0], 100 - ends[1]]
