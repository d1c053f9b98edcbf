"""Deletion and insertion: do the attended pixels carry the distance? Needs no masks, so it works on real images.

| letter | meaning                                  |
| ------ | ---------------------------------------- |
| M      | attributes                               |
| S      | steps of a curve                         |
| H, W   | size of an image as the model takes it   |
| h, w   | size of attention                        |

The pixels of both images of a pair take the mean colour from the most to the least attended (deletion), or are
brought back into blank images in that order (insertion), and the target's distance is followed. Where the attention is
faithful, d falls sooner and rises sooner than in a random order of equally smooth maps.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from fastreid_projects.files import write_aside

from ..explain.explainer import Explainer
from ..explain.pairs import Encoded
from .evaluator import AttributeEvaluator

STEPS = 10
_COLUMNS = ("share of the pixels", "deletion", "insertion", "random deletion", "random insertion")


def importance(encoded: Encoded) -> Tensor:
    """Where the attention to what tells a pair apart lies: sum_k r^k A^k, each map of mean 1.

    Args:
        encoded: of two images.

    Returns:
        (2, h, w).
    """
    parts = (encoded.features[0] - encoded.features[1]).norm(dim=1)
    shares = parts / parts.sum().clamp(min=1e-12)
    maps = encoded.attention / encoded.attention.mean(dim=(2, 3), keepdim=True)
    return torch.einsum("k,nkhw->nhw", shares, maps)


def erased(images: Tensor, maps: Tensor, colour: Tensor, steps: int = STEPS, *, keep: bool = False) -> Tensor:
    """Blank the 0, 1/S, ... 1 most attended share of the pixels.

    Args:
        images: (N, 3, H, W) of 0..255.
        maps: (N, h, w), brought to the images' size bicubically.
        colour: (3,), what a blank pixel shows.
        steps: S.
        keep: blank everything but them (insertion).

    Returns:
        (S + 1, N, 3, H, W).
    """
    height, width = images.shape[-2:]
    large = F.interpolate(maps.unsqueeze(1), size=(height, width), mode="bicubic", align_corners=False)
    order = large.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    rank = order.view(-1, 1, height, width) / (height * width)
    shares = torch.linspace(0, 1, steps + 1).view(-1, 1, 1, 1, 1)
    chosen = rank.unsqueeze(0) < shares
    return torch.where(chosen != keep, colour.to(images.dtype).view(3, 1, 1), images)


class DeletionStudy:
    """Mean deletion and insertion curves of pairs of different persons, and the areas under them.

    Args:
        explainer: gives attention, d^k, and the target's d.
        number: how many pairs.
        folder: where ``deletion_curves.csv`` goes; None writes none.
        seed: of the choice of pairs and of the random orders.
    """

    def __init__(self, explainer: Explainer, number: int, folder: Path | None = None, seed: int = 0) -> None:
        self.explainer = explainer
        self.number = number
        self.folder = folder
        self.seed = seed

    def __call__(
        self, evaluator: AttributeEvaluator, embeddings: Tensor, results: dict[str, float]
    ) -> dict[str, float]:
        """``deletion`` (lower is better), ``insertion`` (higher is better) and ``random_*``: d in % of the whole d."""
        generator = torch.Generator().manual_seed(self.seed)
        pairs = choose_different(evaluator, self.number, generator)
        if not pairs:
            return {}
        curves = [self._curves([evaluator.paths[i] for i in pair], generator) for pair in pairs]
        mean = 100 * torch.stack(curves).nanmean(dim=0)  # (4, S + 1)
        if self.folder is not None:
            self._write(mean, self.folder)
        areas = torch.trapezoid(mean, dx=1 / (mean.shape[1] - 1)).tolist()
        return dict(zip((name.replace(" ", "_") for name in _COLUMNS[1:]), areas, strict=True))

    def _curves(self, paths: list[str], generator: torch.Generator) -> Tensor:
        """d in shares of the whole d: deletion, insertion, and both in random order, (4, S + 1)."""
        images = self.explainer.load(paths)
        found = importance(self.explainer.encode(images))
        orders = (found, torch.rand(found.shape, generator=generator))
        return torch.stack([self._curve(images, maps, keep) for maps in orders for keep in (False, True)])

    def _curve(self, images: Tensor, maps: Tensor, keep: bool) -> Tensor:
        steps = erased(images, maps, self.explainer.mean_colour, keep=keep)
        embedding = self.explainer.embed(steps.flatten(0, 1)).view(len(steps), 2, -1)
        distances = (embedding[:, 0] - embedding[:, 1]).norm(dim=1)
        return distances / distances[-1 if keep else 0]

    @staticmethod
    def _write(curves: Tensor, folder: Path) -> None:
        shares = torch.linspace(0, 1, curves.shape[1])
        rows = [",".join(_COLUMNS)]
        rows += [",".join(f"{x:.4f}" for x in row) for row in torch.cat([shares[None], curves]).T.tolist()]
        write_aside(folder / "deletion_curves.csv", ("\n".join(rows) + "\n").encode())


def choose_different(
    evaluator: AttributeEvaluator, number: int, generator: torch.Generator
) -> list[list[int]]:
    """Random pairs of a query and a gallery image of another person; strangers (0 and below) are left out."""
    q = evaluator.num_query
    gallery = (evaluator.pids[q:] > 0).nonzero().squeeze(1)
    if not len(gallery) or not q:
        return []
    queries = torch.randint(q, (number,), generator=generator)
    others = q + gallery[torch.randint(len(gallery), (number,), generator=generator)]
    different = evaluator.pids[queries] != evaluator.pids[others]
    return torch.stack([queries, others], dim=1)[different].tolist()
