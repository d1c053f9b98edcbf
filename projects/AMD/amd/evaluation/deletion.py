"""Deletion and insertion: test whether a map marks the pixels that cause the distance. Works without true masks.

| letter | meaning                                  |
| ------ | ---------------------------------------- |
| S      | steps of a curve                         |
| H, W   | size of the model's input image          |
| h, w   | size of a map                            |

In the order of falling map values, the pixels of both images of a pair are replaced by the mean colour (deletion), or
restored in images of the mean colour (insertion), and the target's distance d is followed. If the map is faithful, d
falls or rises sooner than with random maps that are equally smooth.
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
    """Blank the 0, 1/S, ... 1 share of the pixels with the highest values.

    Args:
        images: (N, 3, H, W) in 0..255.
        maps: (N, h, w), resized to the images bilinearly.
        colour: (3,), the colour of a blank pixel.
        steps: S.
        keep: whether to blank all other pixels instead (insertion).

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
    """Return d of two images relative to their original d while pixels are blanked or restored, (S + 1,).

    Args:
        explainer: computes the target's features and knows the colour of a blank pixel.
        images: (2, 3, H, W).
        maps: (2, h, w).
        keep: whether pixels are restored (insertion), not blanked.
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
        """Add the curves of a pair (2, 3, H, W) for the maps (2, h, w) of each kind."""
        for kind, maps in totals.items():
            for name, keep in (("deletion", False), ("insertion", True)):
                found = curve(explainer, images, maps, keep=keep)
                self._curves.setdefault(f"{kind}_{name}", []).append(found)

    def compute(self) -> dict[str, float]:
        """Return ``<kind>_deletion`` (lower is better) and ``<kind>_insertion`` (higher is better), in % of d."""
        return {
            name: float(torch.trapezoid(mean, dx=1 / (len(mean) - 1))) for name, mean in self._means().items()
        }

    def write(self, folder: Path) -> None:
        """Write the mean curves to a CSV file."""
        means = self._means()
        shares = torch.linspace(0, 1, STEPS + 1)
        rows = [",".join(["share of the pixels", *(name.replace("_", " ") for name in means)])]
        rows += [
            ",".join(f"{x:.4f}" for x in row) for row in torch.stack([shares, *means.values()]).T.tolist()
        ]
        write_aside(folder / CURVES_FILE, ("\n".join(rows) + "\n").encode())

    def _means(self) -> dict[str, Tensor]:
        return {name: 100 * torch.stack(found).nanmean(dim=0) for name, found in self._curves.items()}
