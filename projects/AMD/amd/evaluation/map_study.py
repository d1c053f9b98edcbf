"""Compare all kinds of maps by the same measures on the same random pairs of different persons.

| letter | meaning                                |
| ------ | -------------------------------------- |
| M      | attributes                             |
| H, W   | size of the masks                      |
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..explain.explainer import Explainer
from .deletion import DeletionCurves
from .evaluator import AttributeEvaluator
from .faithfulness import MaskReader, MaskShares
from .kinds import ATTRIBUTE_KINDS, KINDS, PairKinds


@dataclass(frozen=True)
class MapStudy:
    """Measure deletion and insertion with the maps of the whole distance, and density and pointing of attributes' maps.

    Args:
        explainer: explains with the interpreter.
        number: number of pairs.
        read_masks: image path -> masks (M, H, W), true where the attribute is visible; None without masks.
        folder: folder for the curves; None writes none.
        seed: seed of the choice of pairs and of the random maps.
    """

    explainer: Explainer
    number: int
    read_masks: MaskReader | None = None
    folder: Path | None = None
    seed: int = 0

    def __call__(
        self, evaluator: AttributeEvaluator, embeddings: Tensor, results: dict[str, float]
    ) -> dict[str, float]:
        """Return ``<kind>_<measure>`` for each kind of map; {} without pairs."""
        generator = torch.Generator().manual_seed(self.seed)
        pairs = choose_different(evaluator, self.number, generator)
        if not pairs:
            return {}
        curves, shares = DeletionCurves(), MaskShares()
        for pair in pairs:
            paths = [evaluator.paths[i] for i in pair]
            kinds = PairKinds(self.explainer, self.explainer.load(paths), generator)
            curves.add(self.explainer, kinds.images, {kind: kinds.total(kind) for kind in KINDS})
            if self.read_masks is not None:
                masks = torch.stack([torch.as_tensor(self.read_masks(path)) for path in paths])
                measure_masks(shares, kinds, masks, evaluator.attributes[pair])
        if self.folder is not None:
            curves.write(self.folder)
        return curves.compute() | shares.compute()


def measure_masks(shares: MaskShares, kinds: PairKinds, masks: Tensor, labels: Tensor) -> None:
    """Measure a pair: for each image the attributes that it shows, that only it shows, and that only it has.

    The masks of both images may show an attribute that, by the labels, only one of them has: e.g. a long sleeve in one
    image and a short sleeve in the other.

    Args:
        shares: gets the measures.
        kinds: the pair's maps.
        masks: (2, M, H, W) bool.
        labels: (2, M) of 0, 1 or -1.
    """
    shown = (labels == 1) & masks.flatten(2).any(dim=2)
    chosen = shown.any(dim=0).nonzero().flatten().tolist()
    for kind in ATTRIBUTE_KINDS:
        maps = kinds.attributes(kind, chosen).clamp(min=0)
        for side in (0, 1):
            seen = shown[side, chosen]
            differs = seen & (labels[1 - side, chosen] == 0)
            alone = differs & ~masks[1 - side, chosen].flatten(1).any(dim=1)
            for which, wanted in (("shown", seen), ("alone", alone), ("differs", differs)):
                shares.add(f"{kind}_{{}}_{which}", maps[side][wanted], masks[side, chosen][wanted])


def choose_different(
    evaluator: AttributeEvaluator, number: int, generator: torch.Generator
) -> list[list[int]]:
    """Return random pairs of a query and a gallery image of another person, without distractors (0 and below)."""
    q = evaluator.num_query
    gallery = (evaluator.pids[q:] > 0).nonzero().squeeze(1)
    if not len(gallery) or not q:
        return []
    queries = torch.randint(q, (number,), generator=generator)
    others = q + gallery[torch.randint(len(gallery), (number,), generator=generator)]
    different = evaluator.pids[queries] != evaluator.pids[others]
    return torch.stack([queries, others], dim=1)[different].tolist()
