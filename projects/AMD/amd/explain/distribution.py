"""What distances of many pairs are like, kept as quantiles: where does another one stand among them?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastreid_projects.errors import DataError

# Shares of the pairs that are below a quantile: every per cent, and finer at both ends.
_TAIL = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005)
LEVELS = (0.0, *_TAIL, *(i / 100 for i in range(1, 100)), *(1 - level for level in reversed(_TAIL)), 1.0)


@dataclass(frozen=True)
class Distribution:
    """Distances of one kind of pairs.

    Attributes:
        pairs: how many were measured, at least 1.
        quantiles: at :data:`LEVELS`, ascending.

    Raises:
        DataError: no pair was measured, the quantiles are not as many as the levels, not finite or not ascending.
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
        """Return the distribution of some distances; None of none."""
        if not len(values):
            return None
        return cls(len(values), tuple(np.quantile(values.astype(np.float64), LEVELS).tolist()))

    def as_json(self) -> dict[str, Any]:
        """Return it as :meth:`from_json` takes it."""
        return {"pairs": self.pairs, "quantiles": [float(f"{q:.7g}") for q in self.quantiles]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Distribution:
        """Read what :meth:`as_json` has written."""
        return cls(int(data["pairs"]), tuple(data["quantiles"]))

    def below(self, value: float) -> float:
        """Return the share 0..1 of the pairs that are nearer than ``value``; 0 and 1 beyond all that were measured."""
        if value <= self.quantiles[0]:
            return 0.0
        return float(np.interp(value, self.quantiles, LEVELS))

    def sample(self, number: int) -> NDArray[np.float64]:
        """Return so many values (number,) that are distributed like the pairs, ascending."""
        return np.interp((np.arange(number) + 0.5) / number, LEVELS, self.quantiles)


def in_words(share: float, pairs: int) -> str:
    """Say a share of pairs as people count, as coarse as it can be told.

    Args:
        share: 0..1.
        pairs: how many were measured.

    Example:
        >>> [in_words(share, 20_000) for share in (0.97, 0.0031, 1.0, 0.0)]
        ['97 of 100', '3 of 1,000', 'all 20,000', 'none of 20,000']
    """
    if not 0 < share < 1:
        return f"none of {pairs:,}" if share <= 0 else f"all {pairs:,}"
    whole = next((w for w in (100, 1000, 10_000) if w <= pairs and w * min(share, 1 - share) >= 0.5), pairs)
    return f"{min(max(round(share * whole), 1), max(whole - 1, 1)):,} of {whole:,}"
