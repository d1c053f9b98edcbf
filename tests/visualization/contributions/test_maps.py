"""Shares of cells: against float64 loops, the gradient and blanked cells; they add up to the distance."""

import itertools

import pytest
import torch
from fastreid.layers import pooling as host_pooling
from torch import nn

from fastreid_projects.contract import Branch
from fastreid_projects.visualization.contributions.maps import (
    BranchView,
    branch_cells,
    is_affine,
    pair_maps,
    resample,
    total_maps,
)
from fastreid_projects.visualization.contributions.pooling import Pooling, pooling_of

C, H, W, M, D = 5, 4, 3, 2, 6
POOLS = {
    "average": host_pooling.GlobalAvgPool(),
    "gem3": host_pooling.GeneralizedMeanPooling(3.0),
    "gem6.5": host_pooling.GeneralizedMeanPoolingP(6.5),
    "max": host_pooling.GlobalMaxPool(),
    "avgmax": host_pooling.AdaptiveAvgMaxPool(),
}
each_pool = pytest.mark.parametrize("name", POOLS)


def affine_neck():
    neck = nn.Sequential(nn.Conv2d(C, D, 1, bias=False), nn.BatchNorm2d(D)).eval()
    neck[1].running_mean.normal_()
    neck[1].running_var.uniform_(0.5, 1.5)
    return neck


def image(seed, pool, neck, stripe=(0, 1), attention=True):
    """A branch of one image and its attention."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.rand(1, C, H, W, generator=generator)
    weights = 0.1 + torch.rand(1, M, H, W, generator=generator)
    branch = Branch(features, pool, neck, stripe)
    return branch, weights if attention else None


def features_of(branch, weights):
    """f^k, (M, D), the long way: pool F * A^k, then the neck."""
    with torch.no_grad():
        products = branch.features * weights[0].unsqueeze(1)
        return torch.stack([branch.neck(branch.pool(branch.cut(x[None]))).flatten() for x in products])


def split(views, features):
    return pair_maps(*features, *([view] if isinstance(view, BranchView) else view for view in views))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@each_pool
def test_all_shares_add_up_to_each_part(name):
    neck = affine_neck()
    sides = [image(seed, POOLS[name], neck) for seed in (1, 2)]
    features = [features_of(*side) for side in sides]
    found = split([BranchView([b], [a]) for b, a in sides], features)
    torch.testing.assert_close(found.values, (features[0] - features[1]).norm(dim=1))
    sums = found.first.sum(dim=(1, 2)) + found.second.sum(dim=(1, 2))
    torch.testing.assert_close(sums, found.values, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.sum(), found.values.sum(), rtol=1e-5, atol=1e-5)
    assert float(found.rest.abs().max()) < 1e-5


@each_pool
def test_they_are_the_features_times_the_distances_gradient(name):
    neck = affine_neck()
    sides = [image(seed, POOLS[name], neck) for seed in (1, 2)]
    found = split([BranchView([b], [a]) for b, a in sides], [features_of(*side) for side in sides])
    maps = [branch.features.clone().requires_grad_() for branch, _ in sides]
    for k in range(M):
        parts = [
            neck(POOLS[name](x * a[:, k : k + 1])).flatten() for x, (_, a) in zip(maps, sides, strict=True)
        ]
        gradients = torch.autograd.grad((parts[0] - parts[1]).norm(), maps)
        for x, gradient, own in zip(maps, gradients, (found.first, found.second), strict=True):
            torch.testing.assert_close(own[k], (x * gradient).sum(dim=1)[0].detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("p", [1.0, 3.0])
def test_the_closed_form_is_the_sum_written_out(p):
    """c(x) = A(x)^p / P sum_c g_c f_c^(1-p) F_c(x)^p, in float64 loops."""
    branch, weights = image(3, None, None)
    values = torch.randn(1, M, C)
    found = Pooling("mean", p).shares(branch.features, weights, values)
    big, a, g = branch.features[0].double(), weights[0].double(), values[0].double()
    for k, y, x in itertools.product(range(M), range(H), range(W)):
        total = 0.0
        for c in range(C):
            pooled = ((big[c] * a[k]) ** p).mean() ** (1 / p)
            total += g[k, c] * pooled ** (1 - p) * big[c, y, x] ** p
        assert float(found[0, k, y, x]) == pytest.approx(float(a[k, y, x] ** p / (H * W) * total), rel=1e-4)


def test_a_maximum_gives_all_to_the_cell_that_it_comes_from():
    branch, weights = image(4, None, None)
    values = torch.randn(1, M, C)
    found = Pooling("max").shares(branch.features, weights, values)
    expected = torch.zeros(M, H, W)
    for k, c in itertools.product(range(M), range(C)):
        product = branch.features[0, c] * weights[0, k]
        y, x = divmod(int(product.argmax()), W)
        expected[k, y, x] += values[0, k, c] * product[y, x]
    torch.testing.assert_close(found[0], expected)


@pytest.mark.parametrize("name", ["average", "gem3"])
def test_a_blank_cell_has_no_share_and_takes_its_own_away(name):
    """For an average u . f falls by exactly the cell's share; for GeM by its share of f^p."""
    branch, weights = image(5, POOLS[name], nn.Identity())
    directions = torch.rand(1, M, C)
    cells, _ = branch_cells(branch, directions, weights)
    blank = branch.features.clone()
    blank[..., 1, 2] = 0
    other, _ = branch_cells(branch._replace(features=blank), directions, weights)
    assert float(other[..., 1, 2].abs().max()) < 1e-5
    lost = cells.sum(dim=(2, 3)) - other.sum(dim=(2, 3))
    if name == "average":
        torch.testing.assert_close(lost, cells[..., 1, 2])
        rest = torch.ones(H, W, dtype=torch.bool)
        rest[1, 2] = False
        torch.testing.assert_close(other[..., rest], cells[..., rest])
    else:
        assert bool((lost > 0).all())
        assert bool((lost < 3 * cells[..., 1, 2]).all())


@each_pool
def test_stripes_and_branches_share_the_map(name):
    """Two stripes and a whole branch, as in MGN: a cell outside a stripe has no share in it."""
    neck = affine_neck()
    stripes = ((0, 2), (1, 2), (0, 1))
    sides = [[image(seed, POOLS[name], neck, stripe) for stripe in stripes] for seed in (6, 7)]
    lower, _ = branch_cells(sides[0][1][0], torch.rand(1, M, D), sides[0][1][1])
    assert not lower[:, :, : H // 2].any()
    assert lower[:, :, H // 2 :].any()
    features = []
    for side in sides:
        parts = [
            torch.stack(
                [
                    branch.neck(branch.pool(branch.cut(branch.features * a[:, k : k + 1]))).flatten()
                    for k in range(M)
                ]
            )
            for branch, a in side
        ]
        features.append(torch.cat(parts, dim=1).detach())
    views = [BranchView([b for b, _ in side], [a for _, a in side]) for side in sides]
    found = split(views, features)
    sums = found.first.sum(dim=(1, 2)) + found.second.sum(dim=(1, 2))
    torch.testing.assert_close(sums, found.values, rtol=1e-5, atol=1e-5)


def test_a_mirror_image_is_seen_the_right_way_round():
    branch, _ = image(8, POOLS["average"], nn.Identity(), attention=False)
    straight, mirrored = (BranchView([branch], scale=0.5, mirrored=m) for m in (False, True))
    directions = torch.rand(1, C)
    both = total_maps([straight, mirrored], directions)
    plain = straight.cells(directions)
    torch.testing.assert_close(both, plain + plain.flip(-1))


def test_norms_leave_the_necks_shift_as_the_rest():
    """Two features divided by different norms: the shift b does not cancel, u . b (s_a - s_b) has no place."""
    neck = affine_neck()
    sides = [image(seed, POOLS["gem3"], neck) for seed in (1, 2)]
    full = [features_of(*side) for side in sides]
    scales = [0.4, 0.7]
    features = [s * f for s, f in zip(scales, full, strict=True)]
    views = [BranchView([b], [a], scale=s) for s, (b, a) in zip(scales, sides, strict=True)]
    found = split(views, features)
    shift = neck(torch.zeros(1, C, 1, 1)).flatten().detach()
    u = torch.nn.functional.normalize(features[0] - features[1], dim=1)
    torch.testing.assert_close(found.rest, u @ shift * (scales[0] - scales[1]), rtol=1e-4, atol=1e-5)


class Squares(nn.Module):
    """A pooling without a closed form, homogeneous of degree two."""

    def forward(self, x):
        return x.square().mean(dim=(2, 3), keepdim=True)


def test_pooling_and_necks_that_are_not_linear_add_up_but_for_a_small_rest():
    neck = nn.Sequential(nn.Conv2d(C, D, 1), nn.ReLU()).eval()
    assert not is_affine(neck)
    assert not isinstance(pooling_of(Squares()), Pooling)
    for pool, layer in ((Squares(), affine_neck()), (POOLS["gem3"], neck), (Squares(), neck)):
        sides = [image(seed, pool, layer) for seed in (1, 2)]
        found = split([BranchView([b], [a]) for b, a in sides], [features_of(*side) for side in sides])
        assert bool((found.rest.abs() <= 0.05 * found.values + 1e-5).all())
        if is_affine(layer):  # a polynomial: no error of steps
            assert float(found.rest.abs().max()) < 1e-5


def test_the_clipped_average_gives_its_cells_what_is_left_of_it():
    values = torch.ones(1, 1, 1)
    weights = torch.ones(1, 1, 1, 2)
    clipped = Pooling(ceiling=1.0).shares(torch.tensor([[[[1.0, 3.0]]]]), weights, values)
    assert clipped.flatten().tolist() == pytest.approx([0.25, 0.75])


def test_equal_images_have_no_shares():
    neck = affine_neck()
    side = image(1, POOLS["gem3"], neck)
    features = features_of(*side)
    found = split([BranchView([side[0]], [side[1]])] * 2, [features, features])
    assert not found.values.any()
    assert not found.first.any()
    assert not found.second.any()


def test_powers_stay_in_range():
    """Attention of any scale and features at GeM's floor: shares are finite and add up."""
    pooling = Pooling("mean", 6.5, floor=1e-6)
    features = torch.full((1, 3, 2, 2), 0.02)
    features[0, 0, 0, 0] = 80.0
    for scale in (1e-6, 1.0, 1e6):
        weights = scale * torch.tensor([[[[1e-4, 1.0], [0.5, 1e-3]]]])
        values = torch.randn(1, 1, 3)
        cells = pooling.shares(features, weights, values)
        expected = (values * pooling(features, weights)).sum()
        assert bool(cells.isfinite().all())
        torch.testing.assert_close(cells.sum(), expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("size", [(8, 6), (3, 2), (5, 7), (2, 3)])
def test_cells_of_another_size_keep_the_sum(size):
    maps = torch.randn(2, 4, 3)
    spread = resample(maps, size)
    assert spread.shape == (2, *size)
    torch.testing.assert_close(spread.sum(dim=(1, 2)), maps.sum(dim=(1, 2)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        resample(torch.eye(2)[None], (4, 4)),
        torch.eye(2).repeat_interleave(2, 0).repeat_interleave(2, 1)[None] / 4,
    )
