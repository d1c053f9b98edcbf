"""The distribution of the distances of many pairs, kept as quantiles, to compare another distance with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastreid_projects.errors import DataError

# Shares of the pairs below each quantile: every per cent, and finer at both ends.
_TAIL = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005)
LEVELS = (0.0, *_TAIL, *(i / 100 for i in range(1, 100)), *(1 - level for level in reversed(_TAIL)), 1.0)


@dataclass(frozen=True)
class Distribution:
    """The distances of one kind of pairs.

    Attributes:
        pairs: number of measured pairs, at least 1.
        quantiles: the quantiles at :data:`LEVELS`, ascending.

    Raises:
        DataError: there are no pairs, or the quantiles do not match the levels, or are not finite and ascending.
    """

    pairs: int
    quantiles: tuple[float, ...]

    def __post_init__(self) -> None:
        found = np.asarray(self.quantiles, dtype=np.float64)
        if self.pairs < 1 or found.shape != (len(LEVELS),):
            raise DataError(f"a distribution of distances has {self.pairs} pairs and {found.size} quantiles")
        if not np.isfinite(found).all() or (np.diff(found) < 0).any():
            raise DataError("the quantiles of a distribution of distances are not finite and ascending")

    @classmethod
    def of(cls, values: NDArray[Any]) -> Distribution | None:
        """Return the distribution of some distances; None if there are none."""
        if not len(values):
            return None
        return cls(len(values), tuple(np.quantile(values.astype(np.float64), LEVELS).tolist()))

    def as_json(self) -> dict[str, Any]:
        """Return the distribution in the form that :meth:`from_json` reads."""
        return {"pairs": self.pairs, "quantiles": [float(f"{q:.7g}") for q in self.quantiles]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Distribution:
        """Build a distribution from the output of :meth:`as_json`."""
        return cls(int(data["pairs"]), tuple(data["quantiles"]))

    def below(self, value: float) -> float:
        """Return the share 0..1 of the pairs that are nearer than ``value``; 0 or 1 outside the measured range."""
        if value <= self.quantiles[0]:
            return 0.0
        return float(np.interp(value, self.quantiles, LEVELS))

    def sample(self, number: int) -> NDArray[np.float64]:
        """Return ``number`` ascending values that are distributed like the pairs."""
        return np.interp((np.arange(number) + 0.5) / number, LEVELS, self.quantiles)


def in_words(share: float, pairs: int) -> str:
    """Return a share of pairs as a count in words, with the smallest total that shows it.

    Args:
        share: 0..1.
        pairs: number of measured pairs.

    Example:
        >>> [in_words(share, 20_000) for share in (0.97, 0.0031, 1.0, 0.0)]
        ['97 of 100', '3 of 1,000', 'all 20,000', 'none of 20,000']
    """
    if not 0 < share < 1:
        return f"none of {pairs:,}" if share <= 0 else f"all {pairs:,}"
    whole = next((w for w in (100, 1000, 10_000) if w <= pairs and w * min(share, 1 - share) >= 0.5), pairs)
    return f"{min(max(round(share * whole), 1), max(whole - 1, 1)):,} of {whole:,}"
