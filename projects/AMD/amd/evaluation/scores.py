"""Compute the scores of a target and its interpreter from their features, side by side (sec. 4.3).

| letter | meaning                          |
| ------ | -------------------------------- |
| Q      | queries                          |
| M      | attributes                       |
| D      | size of a feature                |
"""

from __future__ import annotations

import itertools
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fastreid_projects.evaluation.ranking import RankingMeter, RankingResult

from .attribute_metrics import AttributeMeter
from .distances import iter_attribute_distances
from .reweighting import ReweightedRanking
from .tables import RANKS

TargetDistances = Callable[[Tensor, Tensor], Iterable[tuple[slice, Any]]]
# A squared distance below this share of the features' squared norms is a rounding error: the images are equal.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Scoring:
    """A test set, queries first, and how to score it.

    Attributes:
        num_query: Q.
        pids: (images,).
        camids: (images,).
        attributes: (images, M) of 0, 1 or -1.
        target_distances: see :class:`~.evaluator.AttributeEvaluator`, also for the attributes below.
        ranking_meter: the meter that ranks a gallery.
        chunk: number of queries at a time.
        device: device that computes the distances.
        gamma: weight of Eq. 12.
        count_unlabelled: whether X-mAP includes images without attributes.
    """

    num_query: int
    pids: Tensor
    camids: Tensor
    attributes: Tensor
    target_distances: TargetDistances
    ranking_meter: Callable[..., RankingMeter]
    chunk: int
    device: torch.device
    gamma: float
    count_unlabelled: bool

    def scores(
        self, embeddings: Tensor, features: Tensor, returned: Tensor, placeless: Tensor | None
    ) -> tuple[RankingResult, dict[str, float]]:
        """Return the ranking by the sum of all d^k, and all metrics in per cent.

        Args:
            embeddings: the explained features of the target, (images, D).
            features: f^k, (M, images, D).
            returned: the features that the target is scored by, (images, any size).
            placeless: f^k with A replaced by its mean over the positions, or None.
        """
        q = self.num_query
        target = self._meter()
        for rows, distances in self.target_distances(returned[:q], returned[q:]):
            target.update(distances, self.pids[:q][rows], self.camids[:q][rows])
        reweighted = ReweightedRanking(self.pids, self.camids, self.attributes, q, self.gamma, self._meter)
        ranking, attribute = self._interpreted(embeddings, features, reweighted if self.gamma else None)
        rankings = {"": ranking, "target_": target.compute()}
        if self.gamma:
            rankings |= {f"reweighted_{name}_": found for name, found in reweighted.compute().items()}
        results = _ranked(rankings) | _attributed(attribute)
        for kind in ("e", "c"):
            results[f"random_X-mAP_{kind}"] = 100 * attribute[f"random_x_map_{kind}"]
        if placeless is not None:
            without, measured = self._interpreted(embeddings, placeless)
            results |= _ranked({"placeless_": without}) | _attributed(measured, "placeless_")
        return ranking, results

    def _interpreted(
        self, embeddings: Tensor, features: Tensor, reweighted: ReweightedRanking | None = None
    ) -> tuple[RankingResult, dict[str, float]]:
        """Rank by the sum of all d^k, and measure the d^k; ``reweighted`` gets the same tiles."""
        q = self.num_query
        labels = self._measured_labels()
        interpreter, meter = self._meter(), AttributeMeter(self.pids[q:], labels[q:])
        known = self._known_columns()
        tiles = iter_attribute_distances(features[:, :q], features[:, q:], self.chunk, self.device)
        for rows, chunk in itertools.groupby(tiles, key=operator.itemgetter(0)):
            full = self._euclidean(embeddings, rows, self.device)
            reconstructed = torch.empty(full.shape)
            if reweighted is not None:
                reweighted.start(rows)
            for _, columns, parts in chunk:
                sums, part = parts.sum(dim=0), full[:, columns]
                reconstructed[:, columns] = sums.cpu()
                meter.update(part, parts, self.pids[:q][rows], labels[:q][rows], known, columns, sums)
                if reweighted is not None:
                    reweighted.update(rows, columns, part, parts)
            interpreter.update(reconstructed, self.pids[:q][rows], self.camids[:q][rows])
            if reweighted is not None:
                reweighted.finish(rows)
        return interpreter.compute(), meter.compute()

    def _euclidean(self, embeddings: Tensor, rows: slice, device: torch.device) -> Tensor:
        """Return d of Eq. 4, which is Euclidean whatever ``TEST.METRIC`` is."""
        a = embeddings[: self.num_query][rows].to(device)
        b = embeddings[self.num_query :].to(device)
        norms = a.square().sum(dim=1, keepdim=True) + b.square().sum(dim=1)
        squared = norms - 2 * a @ b.T
        return squared.masked_fill_(squared < _ROUNDING * norms, 0.0).sqrt_()

    def _meter(self) -> RankingMeter:
        return self.ranking_meter(self.pids[self.num_query :], self.camids[self.num_query :])

    def _measured_labels(self) -> Tensor:
        """Return the attributes (images, M) that count for X-mAP."""
        if not self.count_unlabelled:
            return self.attributes
        unlabelled = (self.attributes < 0).all(dim=1, keepdim=True)
        return torch.where(unlabelled, torch.zeros_like(self.attributes), self.attributes)

    def _known_columns(self) -> Tensor:
        """Return the attributes that the test set has; on another dataset, those whose names both have."""
        return (self.attributes >= 0).any(dim=0).nonzero().squeeze(1)


def _ranked(rankings: Mapping[str, RankingResult]) -> dict[str, float]:
    """Return Rank-k, mAP and mINP in per cent, with the prefix of each ranking."""
    results: dict[str, float] = OrderedDict()
    for prefix, ranking in rankings.items():
        for k in RANKS:
            results[f"{prefix}Rank-{k}"] = 100 * ranking.rank(k)
        results[f"{prefix}mAP"] = 100 * ranking.mAP
        results[f"{prefix}mINP"] = 100 * ranking.mINP
    return results


def _attributed(measured: Mapping[str, float], prefix: str = "") -> dict[str, float]:
    """Return ADRE and both X-mAP in per cent."""
    names = {"ADRE": "adre", "X-mAP_e": "x_map_e", "X-mAP_c": "x_map_c"}
    return {f"{prefix}{name}": 100 * measured[own] for name, own in names.items()}
