"""What an architecture of this project offers so that AMD can explain it: its stages and its last maps.

| letter | meaning                                    |
| ------ | ------------------------------------------ |
| N      | images                                     |
| C      | channels of a branch's last feature map    |
| H x W  | size of that map                           |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


class Branch(NamedTuple):
    """One pooled part of a model's feature.

    Attributes:
        features: the branch's whole last map, (N, C, H, W).
        pool: what pools it, (N, C, H, W) -> (N, C, 1, 1).
        neck: what follows, (N, C, 1, 1) -> (N, D) or (N, D, 1, 1).
        stripe: (i, n): the i-th of n horizontal stripes of the map; (0, 1) is the whole map.
    """

    features: Tensor
    pool: nn.Module
    neck: nn.Module
    stripe: tuple[int, int] = (0, 1)

    def cut(self, maps: Tensor) -> Tensor:
        """The branch's stripe of maps (N, *, H, W)."""
        index, count = self.stripe
        return maps if count == 1 else torch.chunk(maps, count, dim=2)[index]

    def pooled(self) -> Tensor:
        """The feature before the neck, (N, C, 1, 1)."""
        return self.pool(self.cut(self.features))

    def embedding(self) -> Tensor:
        """The feature after the neck, (N, D): this part of what the model returns at evaluation."""
        return self.neck(self.pooled()).flatten(1)


@runtime_checkable
class Explainable(Protocol):
    """An architecture whose feature is made of pooled branches."""

    def explained_stages(self) -> list[nn.Module]:
        """Five modules from normalised images to the (first) last map; they share the model's parameters."""

    def explained_branches(self, maps: Sequence[Tensor]) -> list[Branch]:
        """The branches in the order of the feature, from the maps after each of the five stages, in eval mode."""
