"""The features of an evaluated test set, compared a few rows at a time as in an explanation.

| letter | meaning                       |
| ------ | ----------------------------- |
| N      | images                        |
| M      | attributes                    |
| D      | size of a feature             |
| P      | pairs                         |
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_ROWS = 4096


class ScoredFeatures:
    """Compute distances of pairs and norms of f^k without a float32 copy of all features.

    Args:
        features: f^k, (M, N, D), possibly in half precision, minus ``centre``.
        embeddings: the target's features, (N, D).
        centre: (M, D); None if nothing was subtracted.
        cosine: whether to divide an image's features by the norm of its full feature, as for ``TEST.METRIC cosine``.
    """

    def __init__(
        self, features: Tensor, embeddings: Tensor, centre: Tensor | None = None, *, cosine: bool = False
    ) -> None:
        self.features = features
        self.centre = centre
        norms = embeddings.float().norm(dim=1).clamp(min=1e-12)
        self.scale = 1 / norms if cosine else torch.ones_like(norms)
        self.embeddings = embeddings.float() * self.scale[:, None]

    def norms(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the norms (rows, M) of f^k of some images."""
        found = np.empty((len(rows), len(self.features)))
        for part in _parts(len(rows)):
            for k in range(len(self.features)):
                found[part, k] = self._rows(k, rows[part]).norm(dim=1).numpy()
        return found

    def whole_distances(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return d (P,) of pairs (P, 2) of images."""
        found = np.empty(len(pairs))
        for part in _parts(len(pairs)):
            a, b = (self.embeddings[torch.from_numpy(pairs[part, side].copy())] for side in (0, 1))
            found[part] = (a - b).norm(dim=1).numpy()
        return found

    def distances(self, pairs: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return d (P,) and d^k (P, M) of pairs (P, 2) of images."""
        parts = np.empty((len(pairs), len(self.features)))
        for part in _parts(len(pairs)):
            first, second = (pairs[part, side].copy() for side in (0, 1))
            for k in range(len(self.features)):
                parts[part, k] = (self._rows(k, first) - self._rows(k, second)).norm(dim=1).numpy()
        return self.whole_distances(pairs), parts

    def _rows(self, k: int, rows: NDArray[np.int64]) -> Tensor:
        """Return f^k of some images, (rows, D) in float32."""
        index = torch.from_numpy(rows)
        found = self.features[k][index].float()
        if self.centre is not None:
            found = found + self.centre[k]
        return found * self.scale[index][:, None]


def _parts(number: int) -> Iterator[slice]:
    return (slice(start, min(start + _ROWS, number)) for start in range(0, number, _ROWS))
