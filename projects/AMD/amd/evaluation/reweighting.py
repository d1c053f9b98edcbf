"""Re-weight a distance by its explanation (Eq. 12): d' = d + gamma max over exclusive k of d^k.

| letter | meaning                              |
| ------ | ------------------------------------ |
| M      | attributes                           |
| Q, T   | queries and gallery images of a tile |
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fastreid_projects.evaluation.ranking import RankingMeter, RankingResult


def reweight(distances: Tensor, parts: Tensor, exclusive: Tensor | None, gamma: float = 1.0) -> Tensor:
    """Return the re-weighted distances (Eq. 12).

    Args:
        distances: d, (Q, T).
        parts: d^k, (M, Q, T).
        exclusive: (M, Q, T) bool, by the labels; a pair without exclusive attributes keeps its distance. With None, the
            attribute that contributes most counts as exclusive, so that no labels are needed.
        gamma: weight; 1 in the paper.

    Returns:
        d', (Q, T).
    """
    chosen = parts if exclusive is None else parts * exclusive
    return distances + gamma * chosen.amax(dim=0)


def exclusive_by_label(query: Tensor, gallery: Tensor) -> Tensor:
    """Return whether images are known to differ in an attribute, (M, Q, T); labels (Q, M), (T, M) of 0, 1 or -1."""
    a, b = query.T.unsqueeze(2), gallery.T.unsqueeze(1)
    return (a != b) & (a >= 0) & (b >= 0)


class ReweightedRanking:
    """Rank by d' from tiles of query x gallery: without labels, and with exclusive attributes by the labels, if any.

    With labels it is an oracle, which knows who differs in what, so that even an interpreter at chance gains.

    Args:
        pids: (images,) identities, queries first.
        camids: (images,) cameras.
        attributes: (images, M) of 0, 1 or -1.
        num_query: number of queries.
        gamma: weight of Eq. 12.
        meter: makes the meter that ranks the gallery.
    """

    def __init__(
        self,
        pids: Tensor,
        camids: Tensor,
        attributes: Tensor,
        num_query: int,
        gamma: float,
        meter: Callable[[], RankingMeter],
    ) -> None:
        self.pids, self.camids, self.attributes = pids, camids, attributes
        self.num_query = num_query
        self.gamma = gamma
        names = ("free", "label") if (attributes >= 0).any() else ("free",)
        self.meters = {name: meter() for name in names}
        self._rows: dict[str, Tensor] = {}

    def start(self, rows: slice) -> None:
        """Start a chunk of queries."""
        shape = (rows.stop - rows.start, len(self.pids) - self.num_query)
        self._rows = {name: torch.empty(shape) for name in self.meters}

    def update(self, rows: slice, columns: slice, distances: Tensor, parts: Tensor) -> None:
        """Add a tile of the chunk: d (Q, T) and d^k (M, Q, T)."""
        queries, gallery = self.attributes[: self.num_query][rows], self.attributes[self.num_query :][columns]
        exclusive = exclusive_by_label(queries.to(parts.device), gallery.to(parts.device))
        for name, rows_of in self._rows.items():
            chosen = exclusive if name == "label" else None
            rows_of[:, columns] = reweight(distances, parts, chosen, self.gamma).cpu()

    def finish(self, rows: slice) -> None:
        """Rank the chunk."""
        for name, meter in self.meters.items():
            meter.update(
                self._rows[name], self.pids[: self.num_query][rows], self.camids[: self.num_query][rows]
            )

    def compute(self) -> dict[str, RankingResult]:
        """Return the rankings, by ``free`` and ``label``."""
        return {name: meter.compute() for name, meter in self.meters.items()}
