"""Deletion and insertion: do the attended pixels carry the distance? Needs no masks, so it works on real images.

| letter | meaning                                  |
| ------ | ---------------------------------------- |
| M      | attributes                               |
| S      | steps of a curve                         |
| H, W   | size of an image as the model takes it   |
| h, w   | size of attention                        |

The pixels of both images of a pair are blurred from the most to the least attended (deletion), or brought back into
blurred images in that order (insertion), and the target's distance is followed. Where the attention is faithful, d
falls sooner and rises sooner than in a random order of equally smooth maps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from fastreid_projects.amd.evaluator import AttributeEvaluator
from fastreid_projects.amd.explain import Encoded, Explainer

STEPS = 10
# The blur, as a share of the image's height: clothes keep their mean colour in a cloud, and nothing else is left.
_BLUR = 0.1


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


def erased(images: Tensor, maps: Tensor, steps: int = STEPS, *, keep: bool = False) -> Tensor:
    """Blur the 0, 1/S, ... 1 most attended share of the pixels.

    Args:
        images: (N, 3, H, W) of 0..255.
        maps: (N, h, w), brought to the images' size bicubically.
        steps: S.
        keep: blur everything but them (insertion).

    Returns:
        (S + 1, N, 3, H, W).
    """
    height, width = images.shape[-2:]
    large = F.interpolate(maps.unsqueeze(1), size=(height, width), mode="bicubic", align_corners=False)
    order = large.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    rank = order.view(-1, 1, height, width) / (height * width)
    sigma = _BLUR * height
    size = 2 * min(round(3 * sigma), (min(height, width) - 1) // 2) + 1
    blurred = gaussian_blur(images, [size, size], [sigma, sigma])
    shares = torch.linspace(0, 1, steps + 1).view(-1, 1, 1, 1, 1)
    chosen = rank.unsqueeze(0) < shares
    return torch.where(chosen != keep, blurred, images)


class DeletionStudy:
    """Mean areas under the deletion and insertion curves of pairs of different persons.

    Args:
        explainer: gives attention, d^k, and the target's d.
        number: how many pairs.
        seed: of the choice of pairs and of the random orders.
    """

    def __init__(self, explainer: Explainer, number: int, seed: int = 0) -> None:
        self.explainer = explainer
        self.number = number
        self.seed = seed

    def __call__(
        self, evaluator: AttributeEvaluator, embeddings: Tensor, results: dict[str, float]
    ) -> dict[str, float]:
        """``deletion`` (lower is better), ``insertion`` (higher is better) and ``random_*``: d in % of the whole d."""
        generator = torch.Generator().manual_seed(self.seed)
        pairs = choose_different(evaluator, self.number, generator)
        if not pairs:
            return {}
        areas = torch.tensor([self._areas([evaluator.paths[i] for i in pair], generator) for pair in pairs])
        names = ("deletion", "insertion", "random_deletion", "random_insertion")
        return dict(zip(names, (100 * areas.nanmean(dim=0)).tolist(), strict=True))

    def _areas(self, paths: list[str], generator: torch.Generator) -> list[float]:
        images = self.explainer.load(paths)
        encoded = self.explainer.encode(images)
        found = importance(encoded)
        areas = []
        for maps in (found, torch.rand(found.shape, generator=generator)):
            areas += [self._area(images, maps, keep) for keep in (False, True)]
        return areas

    def _area(self, images: Tensor, maps: Tensor, keep: bool) -> float:
        """Area under d of the curve, in shares of the whole d."""
        curve = erased(images, maps, keep=keep)
        embedding = self.explainer.embed(curve.flatten(0, 1)).view(len(curve), 2, -1)
        distances = (embedding[:, 0] - embedding[:, 1]).norm(dim=1)
        whole = distances[-1 if keep else 0]
        return float(torch.trapezoid(distances / whole, dx=1 / (len(curve) - 1)))


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
