"""Where a distance arises: a signed share for every cell of both images, which add up to the distance.

| letter | meaning                                                    |
| ------ | ---------------------------------------------------------- |
| M      | parts of the distance: attributes, or 1 for the whole      |
| C      | channels of a branch's last map                            |
| h, w   | size of a map                                              |
| D, D_b | size of the feature, and of a branch's part of it          |
| f^k    | feature of part k, of image a or b                         |
| d^k    | \\|f_a^k - f_b^k\\|, and u^k = (f_a^k - f_b^k) / d^k         |

d^k = u^k f_a^k - u^k f_b^k. Each term is pooled from the cells of one image and passed through the neck. Averages,
generalised means and maxima are homogeneous of degree one; by Euler's theorem, the shares F(x) du^k f / dF(x) of the
cells then add up to the term, except for the neck's shift, which both images have. For GeM, with W the linear part of
the neck:

    c_a^k(x) = A^k(x)^p / (hw) sum_c (W^T u^k)_c (f_c^k)^(1-p) F_c(x)^p,  and the opposite sign for b.

For a neck or pooling that is not homogeneous, gradients are integrated from zero to its input (integrated gradients,
Sundararajan et al. 2017), which gives the same result for homogeneous ones. What the shares of the cells lack is kept
as the rest: the error of this integration, and the neck's shift if two images are divided by different norms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from fastreid_projects.contract import Branch
from fastreid_projects.modeling.modes import evaluating
from fastreid_projects.visualization.contributions.pooling import Pooling, pooling_of

STEPS = 32  # steps from zero to the input at which gradients of a nonlinear neck are taken
_PLAIN_STEPS = 8  # likewise for pooling layers without a closed form, which are polynomials or smooth
# A distance below this share of the features' norms is a rounding error: the model sees no difference.
ROUNDING = 1e-5
_AFFINE = (
    nn.Identity,
    nn.Conv2d,
    nn.Linear,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.SyncBatchNorm,
    nn.Flatten,
    nn.Dropout,
)


class View(Protocol):
    """A view of an image (or its mirror image), whose features can be split over its cells."""

    def cells(self, directions: Tensor) -> Tensor:
        """Split directions . features over the cells of the image itself, not mirrored: (M, D) -> (M, h, w)."""


class BranchView(NamedTuple):
    """A view whose features are pooled from branches.

    Attributes:
        branches: branches of this image, with maps (1, C, h, w), in the order of the feature.
        attention: A for each branch, (1, M, h, w) in the size of its map; None weights all cells equally, with M = 1.
        neck: whether features are taken after the necks.
        scale: factor from these features to the compared ones.
        mirrored: whether the maps are those of the mirror image.
    """

    branches: Sequence[Branch]
    attention: Sequence[Tensor] | None = None
    neck: bool = True
    scale: float = 1.0
    mirrored: bool = False

    def cells(self, directions: Tensor) -> Tensor:
        """Split directions . features, see :class:`View`; branches are resampled to the cells of the largest one."""
        sizes = [_map_size(branch) for branch in self.branches]
        largest = (max(height for height, _ in sizes), max(width for _, width in sizes))
        wanted = directions.to(self.branches[0].features.device)[None]
        total = torch.zeros(len(directions), *largest, device=wanted.device)
        start = 0
        for i, branch in enumerate(self.branches):
            attention = None if self.attention is None else self.attention[i]
            found, width = branch_cells(branch, wanted[..., start:], attention, neck=self.neck)
            total += resample(found[0], largest)
            start += width
        total = (self.scale * total).to(directions.device)
        return total.flip(-1) if self.mirrored else total


class PairMaps(NamedTuple):
    """Where the parts of a distance arise.

    Attributes:
        values: d^k, (M,).
        first: shares of image a's cells, (M, h, w): positive ones push the two apart, negative ones together.
        second: shares of image b's cells.
        rest: d^k minus all shares, (M,).
    """

    values: Tensor
    first: Tensor
    second: Tensor
    rest: Tensor


@torch.no_grad()
def pair_maps(first: Tensor, second: Tensor, a: Sequence[View], b: Sequence[View]) -> PairMaps:
    """Split the distance of two images' features over the cells of both.

    Args:
        first: compared features of image a, (M, D).
        second: likewise of image b.
        a: views of image a, whose features add up to ``first`` (each with its scale).
        b: views of image b.
    """
    difference = first - second
    values = difference.norm(dim=1)
    seen = values > ROUNDING * (first.norm(dim=1) + second.norm(dim=1))
    directions = torch.where(seen, 1 / values.clamp(min=1e-30), 0.0)[:, None] * difference
    maps_a, maps_b = total_maps(a, directions), total_maps(b, -directions)
    rest = values.double() - maps_a.double().sum(dim=(1, 2)) - maps_b.double().sum(dim=(1, 2))
    return PairMaps(values, maps_a, maps_b, rest.float())


def total_maps(views: Sequence[View], directions: Tensor) -> Tensor:
    """Split directions (M, D) . features over the cells of an image with several views: (M, h, w)."""
    found = [view.cells(directions) for view in views]
    return torch.stack(found).sum(dim=0)


def branch_cells(
    branch: Branch, directions: Tensor, attention: Tensor | None = None, *, neck: bool = True
) -> tuple[Tensor, int]:
    """Split directions . (feature of a branch) over the cells of its map.

    Args:
        branch: a branch with maps (N, C, h, w); if it is a stripe, cells outside the stripe have no share.
        directions: (N, M, D_b or more), of which the first D_b entries belong to the branch.
        attention: A, (N, M, h, w); None weights all cells equally.
        neck: whether the feature is taken after the neck.

    Returns:
        (N, M, h, w) in float32, and D_b.
    """
    features = branch.cut(branch.features).float()
    weights = features.new_ones(len(features), directions.shape[1], *features.shape[-2:])
    if attention is not None:
        weights = branch.cut(attention).float()
    layer = branch.neck if neck else nn.Identity()
    pooling = pooling_of(branch.pool)
    if isinstance(pooling, Pooling):
        pooled = pooling(features, weights)
        gradients, width = neck_gradients(layer, pooled, directions)
        cells = pooling.shares(features, weights, gradients)
    else:
        cells, width = _plain_cells(branch.pool, layer, features, weights, directions)
    return _placed(branch, cells), width


def neck_gradients(neck: nn.Module, pooled: Tensor, directions: Tensor) -> tuple[Tensor, int]:
    """Return W^T u of a neck; if it is not linear, the mean of its gradient from 0 to its input.

    Args:
        neck: module on (B, C, 1, 1), called in eval mode.
        pooled: (N, M, C).
        directions: u, (N, M, D_b or more).

    Returns:
        (N, M, C), and D_b, the size of the neck's output.
    """
    n, m, c = pooled.shape
    flat = pooled.reshape(n * m, c, 1, 1)
    steps = 1 if is_affine(neck) else STEPS
    total, width = torch.zeros_like(flat), 0
    for t in _middles(steps):
        gradient, width = _gradient(neck, t * flat, directions)
        total += gradient / steps
    return total.view(n, m, c), width


def is_affine(module: nn.Module) -> bool:
    """Return whether a module is known to be affine in eval mode: linear except for a shift."""
    if isinstance(module, nn.Sequential):
        return all(is_affine(part) for part in module)
    return isinstance(module, _AFFINE)


def resample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Distribute the shares of cells (*, h, w) over cells of another size by their common area, keeping the sum."""
    if maps.shape[-2:] == size:
        return maps
    rows, columns = (_overlap(old, new).to(maps) for old, new in zip(maps.shape[-2:], size, strict=True))
    return rows @ maps @ columns.T


def _plain_cells(
    pool: nn.Module, neck: nn.Module, features: Tensor, weights: Tensor, directions: Tensor
) -> tuple[Tensor, int]:
    """Do the same as :func:`branch_cells` for any pooling layer, map by map, with gradients from zero to F * A^k."""
    both = nn.Sequential(pool, neck)
    steps = _PLAIN_STEPS if is_affine(neck) else STEPS
    parts, width = [], 0
    for k in range(weights.shape[1]):
        product = features * weights[:, k : k + 1]
        total = torch.zeros_like(product)
        for t in _middles(steps):
            gradient, width = _gradient(both, t * product, directions[:, k : k + 1])
            total += gradient / steps
        parts.append((total * product).sum(dim=1))
    return torch.stack(parts, dim=1), width


@torch.enable_grad()
def _gradient(module: nn.Module, x: Tensor, directions: Tensor) -> tuple[Tensor, int]:
    """Return the gradient of directions . module(x) with respect to x, and the size of the module's output."""
    x = x.detach().requires_grad_()
    with torch.autocast(x.device.type, enabled=False), evaluating(module):
        output = module(x).flatten(1)
    width = output.shape[1]
    wanted = directions[..., :width].reshape(len(output), width)
    (gradient,) = torch.autograd.grad(output, x, wanted.to(output))
    return gradient, width


def _middles(steps: int) -> list[float]:
    """Return the middles of equal parts of [0, 1]."""
    return [(i + 0.5) / steps for i in range(steps)]


def _map_size(branch: Branch) -> tuple[int, int]:
    return branch.features.shape[-2], branch.features.shape[-1]


def _placed(branch: Branch, cells: Tensor) -> Tensor:
    """Return a map with a stripe's cells in their place and zeros elsewhere."""
    index, count = branch.stripe
    if count == 1:
        return cells
    whole = cells.new_zeros(*cells.shape[:2], *_map_size(branch))
    torch.chunk(whole, count, dim=2)[index].copy_(cells)
    return whole


def _overlap(old: int, new: int) -> Tensor:
    """Return the share of each of ``old`` equal parts of a length in each of ``new`` equal parts, (new, old)."""
    starts, targets = torch.arange(old) / old, torch.arange(new) / new
    low = torch.maximum(starts[None], targets[:, None])
    high = torch.minimum(starts[None] + 1 / old, targets[:, None] + 1 / new)
    return (high - low).clamp(min=0) * old
