"""Test whether the right contribution rises when one attribute of an image is changed, on datasets that can draw it.

| letter | meaning                |
| ------ | ---------------------- |
| M      | attributes             |
| H, W   | size of an image       |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..explain.explainer import Explainer
from .evaluator import AttributeEvaluator
from .faithfulness import MaskShares
from .kinds import ATTRIBUTE_KINDS, PairKinds

_ALTERED = 24  # of 255: more than blur and JPEG spread to neighbouring pixels

# (paths of the images to change, number of cases) -> cases with path, image, changed and attributes.
Changer = Callable[[Sequence[str], int], Iterable[Any]]


@dataclass(frozen=True)
class CounterfactualStudy:
    """Change one attribute of query images and measure how the contributions to the distance of a partner image change.

    The partner is another image of the same person, so that the two do not differ in any attribute before the change.
    The maps of a changed attribute are compared with the pixels that the change has altered.

    Args:
        explainer: computes d^k and the maps.
        change: draws images with one attribute changed.
        number: number of cases.
        seed: seed of the random maps.
    """

    explainer: Explainer
    change: Changer
    number: int
    seed: int = 0

    def __call__(
        self, evaluator: AttributeEvaluator, embeddings: Tensor, results: dict[str, float]
    ) -> dict[str, float]:
        """Return the metrics in per cent; {} if no change is visible in any image."""
        partners = {
            path: partner
            for i, path in enumerate(evaluator.paths[: evaluator.num_query])
            if (partner := _partner(evaluator, i)) is not None
        }
        generator, shares = torch.Generator().manual_seed(self.seed), MaskShares()
        cases = []
        for case in self.change(list(partners), self.number):
            images = self.explainer.load([case.image, case.changed, partners[case.path]])
            cases.append(self._rise(images, case.attributes))
            kinds = PairKinds(self.explainer, images[1:], generator)
            altered = altered_pixels(case.image, case.changed).expand(len(case.attributes), -1, -1)
            for kind in ATTRIBUTE_KINDS:
                maps = kinds.attributes(kind, case.attributes)[0].clamp(min=0)
                shares.add(f"{kind}_{{}}_changed", maps, altered)
        return summarise(cases) | shares.compute() if cases else {}

    def _rise(self, images: Tensor, attributes: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
        """Return the rise (M,) of each d^k by the change, as a share of the sum before it, and what was changed."""
        features = self.explainer.encode(images).features
        before, after = ((features[i] - features[2]).norm(dim=1) for i in (0, 1))
        return (after - before) / before.sum().clamp(min=1e-12), attributes


def altered_pixels(image: Any, changed: Any) -> Tensor:
    """Return the pixels in which two RGB arrays (H, W, 3) differ by more than noise, (1, H, W) bool."""
    difference = np.abs(np.asarray(image, np.int16) - np.asarray(changed, np.int16)).max(axis=2)
    return torch.from_numpy(difference > _ALTERED)[None]


def summarise(cases: list[tuple[Tensor, tuple[int, ...]]]) -> dict[str, float]:
    """Return in per cent the mean rise of the changed attributes and the others, and how often a changed one leads.

    Args:
        cases: the rise of each d^k (M,), and the positions of the changed attributes.
    """
    rows = []
    for rise, attributes in cases:
        changed = torch.zeros(len(rise), dtype=torch.bool)
        changed[list(attributes)] = True
        first = float(changed[rise.argmax()])
        rows.append(
            (float(rise[changed].mean()), float(rise[~changed].mean()), first, len(attributes) / len(rise))
        )
    names = (
        "counterfactual_rise",
        "counterfactual_rise_others",
        "counterfactual_first",
        "random_counterfactual_first",
    )
    means = 100 * torch.tensor(rows, dtype=torch.float64).mean(dim=0)
    return dict(zip(names, means.tolist(), strict=True))


def _partner(evaluator: AttributeEvaluator, query: int) -> str | None:
    """Return the first gallery image that shows the query's person by another camera."""
    q = evaluator.num_query
    same = (evaluator.pids[q:] == evaluator.pids[query]) & (evaluator.camids[q:] != evaluator.camids[query])
    found = same.nonzero()
    return evaluator.paths[q + int(found[0])] if len(found) else None
