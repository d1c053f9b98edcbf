"""Deletion and insertion: do the marked pixels carry the distance? Needs no masks, so it works on real images.

| letter | meaning                                  |
| ------ | ---------------------------------------- |
| S      | steps of a curve                         |
| H, W   | size of an image as the model takes it   |
| h, w   | size of a map                            |

The pixels of both images of a pair take the mean colour from the highest value of a map to the lowest (deletion), or
are brought back into blank images in that order (insertion), and the target's distance is followed. Where the map is
faithful, d falls sooner and rises sooner than in a random order of equally smooth maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from fastreid_projects.files import write_aside

from ..explain.explainer import Explainer

STEPS = 10
CURVES_FILE = "deletion_curves.csv"


def erased(images: Tensor, maps: Tensor, colour: Tensor, steps: int = STEPS, *, keep: bool = False) -> Tensor:
    """Blank the 0, 1/S, ... 1 share of the pixels whose values are highest.

    Args:
        images: (N, 3, H, W) of 0..255.
        maps: (N, h, w), brought to the images' size bilinearly.
        colour: (3,), what a blank pixel shows.
        steps: S.
        keep: blank everything but them (insertion).

    Returns:
        (S + 1, N, 3, H, W).
    """
    height, width = images.shape[-2:]
    large = F.interpolate(maps.unsqueeze(1), size=(height, width), mode="bilinear", align_corners=False)
    order = large.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    rank = order.view(-1, 1, height, width) / (height * width)
    shares = torch.linspace(0, 1, steps + 1).view(-1, 1, 1, 1, 1)
    chosen = rank.unsqueeze(0) < shares
    return torch.where(chosen != keep, colour.to(images.dtype).view(3, 1, 1), images)


def curve(explainer: Explainer, images: Tensor, maps: Tensor, *, keep: bool) -> Tensor:
    """d of two images in shares of their whole d, as pixels go blank or come back, (S + 1,).

    Args:
        explainer: gives the target's features and the colour of a blank pixel.
        images: (2, 3, H, W).
        maps: (2, h, w).
        keep: pixels come back (insertion).
    """
    steps = erased(images, maps, explainer.mean_colour, keep=keep)
    embedding = explainer.embed(steps.flatten(0, 1)).view(len(steps), 2, -1)
    distances = (embedding[:, 0] - embedding[:, 1]).norm(dim=1)
    return distances / distances[-1 if keep else 0]


class DeletionCurves:
    """Mean curves of several kinds of maps, and the areas under them."""

    def __init__(self) -> None:
        self._curves: dict[str, list[Tensor]] = {}

    def add(self, explainer: Explainer, images: Tensor, totals: Mapping[str, Tensor]) -> None:
        """Follow a pair (2, 3, H, W) by the maps (2, h, w) of each kind."""
        for kind, maps in totals.items():
            for name, keep in (("deletion", False), ("insertion", True)):
                found = curve(explainer, images, maps, keep=keep)
                self._curves.setdefault(f"{kind}_{name}", []).append(found)

    def compute(self) -> dict[str, float]:
        """``<kind>_deletion`` (lower is better) and ``<kind>_insertion`` (higher is better): d in % of the whole d."""
        return {
            name: float(torch.trapezoid(mean, dx=1 / (len(mean) - 1))) for name, mean in self._means().items()
        }

    def write(self, folder: Path) -> None:
        """Keep the mean curves in a CSV file."""
        means = self._means()
        shares = torch.linspace(0, 1, STEPS + 1)
        rows = [",".join(["share of the pixels", *(name.replace("_", " ") for name in means)])]
        rows += [
            ",".join(f"{x:.4f}" for x in row) for row in torch.stack([shares, *means.values()]).T.tolist()
        ]
        write_aside(folder / CURVES_FILE, ("\n".join(rows) + "\n").encode())

    def _means(self) -> dict[str, Tensor]:
        return {name: 100 * torch.stack(found).nanmean(dim=0) for name, found in self._curves.items()}
