"""The one-product decomposition does what Eq. 1 says pass by pass, in far less memory."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fastreid_projects.amd.decomposition import (
    Pooling,
    apply_neck,
    attribute_features,
    pairwise_distances,
    resize_attention,
)
from fastreid_projects.amd.reference import attribute_features_plain, pairwise_distances_plain

EPS = 1e-6  # of the host's GeneralizedMeanPooling
POOLINGS = {
    "average": Pooling(),
    "gem3": Pooling("mean", 3.0, floor=EPS),
    "gem1.7": Pooling("mean", 1.7, floor=EPS),
    "gem6.5": Pooling("mean", 6.5, floor=EPS),
    "max": Pooling("max"),
    "avgmax": Pooling("mean+max"),
    "clip": Pooling(ceiling=1.0),
}
each_pooling = pytest.mark.parametrize("name", POOLINGS)


class LargestStorage(TorchDispatchMode):
    """Bytes of the largest tensor that any operation returns; a view counts with what it is a view of."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.bytes = max(self.bytes, leaf.untyped_storage().nbytes())
        return result


def make_maps(n=3, m=5, c=7, h=4, w=3, *, zeros=0.0, scale=0.2, seed=0):
    """A feature map as after a ReLU, a share of it 0, and attention between 0.5 and 1.5 of ``scale``."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.rand(n, c, h, w, generator=generator) * 3
    features[torch.rand(n, c, h, w, generator=generator) < zeros] = 0
    attention = scale * (0.5 + torch.rand(n, m, h, w, generator=generator))
    return features, attention


def literal(features, attention, name):
    """Eq. 1 in float64, image by image, channel by channel, with the pooling written out a second time."""
    n, c = features.shape[:2]
    out = torch.zeros(n, attention.shape[1], c, dtype=torch.float64)
    for i in range(n):
        for k in range(attention.shape[1]):
            for j in range(c):
                values = (features[i, j].double() * attention[i, k].double()).flatten()
                if name.startswith("gem"):
                    p = float(name[3:])
                    out[i, k, j] = ((values.clamp(min=EPS) ** p).sum() / len(values)) ** (1 / p)
                elif name == "avgmax":
                    out[i, k, j] = values.sum() / len(values) + values.max()
                elif name == "max":
                    out[i, k, j] = values.max()
                else:
                    out[i, k, j] = values.sum() / len(values)
                    if name == "clip":
                        out[i, k, j] = out[i, k, j].clamp(0, 1)
    return out


@each_pooling
def test_value_is_the_equation_written_out(name):
    features, attention = make_maps()
    result = attribute_features(features, attention, POOLINGS[name])
    assert result.shape == (3, 5, 7)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), literal(features, attention, name), atol=2e-6, rtol=2e-5)


@each_pooling
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (4, 3)])
@pytest.mark.parametrize("zeros", [0.0, 0.6])
def test_value_and_gradients_equal_the_plain_passes(name, size, zeros):
    """Zeros are what a ReLU leaves; 1 x 1 is a map where every pooling is the identity."""
    features, attention = make_maps(h=size[0], w=size[1], zeros=zeros)
    weight = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1))
    results = []
    for function, dtype in ((attribute_features, torch.float32), (attribute_features_plain, torch.float64)):
        f, a = (x.detach().to(dtype).requires_grad_() for x in (features, attention))
        value = function(f, a, POOLINGS[name])
        (value * weight).sum().backward()
        results.append((value.detach().double(), a.grad.double(), f.grad.double()))
    (value, a_grad, f_grad), (plain, plain_a_grad, plain_f_grad) = results
    # A channel of zeros alone has the value of the floor, which is noise: 3e-5 allows 6.5-th roots of 1e-30.
    torch.testing.assert_close(value, plain, atol=3e-5, rtol=1e-4)
    torch.testing.assert_close(a_grad, plain_a_grad, atol=3e-5, rtol=1e-3)
    seen = (
        features > 0
    )  # at 0 the floor of the product (plain) and of the map (ours) differ, in the gradient only
    torch.testing.assert_close(f_grad[seen], plain_f_grad[seen], atol=3e-5, rtol=1e-3)


@pytest.mark.parametrize("name", ["average", "max", "avgmax"])
def test_negative_features_of_a_map_without_relu(name):
    features, attention = make_maps()
    features = features - 1.5
    result = attribute_features(features, attention, POOLINGS[name])
    torch.testing.assert_close(result.double(), literal(features, attention, name), atol=1e-6, rtol=1e-5)


def test_constant_attention_scales_the_targets_own_feature():
    """With A = c everywhere, f^k = c f: Eq. 1 at its trivial value."""
    features, _ = make_maps()
    attention = torch.full((3, 2, 4, 3), 0.25)
    for name in ("average", "gem3", "max", "avgmax"):
        own = attribute_features(features, torch.ones(3, 1, 4, 3), POOLINGS[name])
        torch.testing.assert_close(
            attribute_features(features, attention, POOLINGS[name]), 0.25 * own.expand(3, 2, 7)
        )


def test_pooling_equals_the_hosts_own_layers():
    """With attention 1 it is the target's pooling, so that d and d^k speak of the same feature."""
    pooling = pytest.importorskip("fastreid.layers.pooling")
    features, _ = make_maps()
    layers = {
        "average": pooling.GlobalAvgPool(),
        "max": pooling.GlobalMaxPool(),
        "avgmax": pooling.AdaptiveAvgMaxPool(),
        "clip": pooling.ClipGlobalAvgPool(),
        "gem3": pooling.GeneralizedMeanPooling(3.0),
        "gem6.5": pooling.GeneralizedMeanPoolingP(6.5),
    }
    for name, layer in layers.items():
        ours = attribute_features(features, torch.ones(3, 1, 4, 3), POOLINGS[name])
        torch.testing.assert_close(ours[:, 0], layer(features).flatten(1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["gem3", "gem6.5", "average", "max"])
@pytest.mark.parametrize("scale", [1e-12, 1e-5, 1e-2, 1e3])
def test_tiny_and_huge_attention_stay_exact(name, scale):
    """Pooling is homogeneous: PePU may give any scale, and powers must not leave the range of float32."""
    features, attention = make_maps(scale=1.0)
    attention.requires_grad_()
    value = attribute_features(features, scale * attention, POOLINGS[name])
    exact = attribute_features_plain(features.double(), attention.detach().double(), POOLINGS[name])
    torch.testing.assert_close(value.double() / scale, exact, atol=1e-5, rtol=1e-4)
    value.sum().backward()
    assert torch.isfinite(attention.grad).all()
    assert (attention.grad.flatten(2).sum(dim=2) > 0).all()


@each_pooling
@pytest.mark.parametrize("low", [0.0, 1e-38, 1e-20])
def test_gradients_are_finite_whatever_the_map(name, low):
    features, attention = make_maps(zeros=0.5)
    features[0] = 0
    features[1, 0] = 1e4
    attention[0, 0] = low
    attention[1, 1, 0, 0] = low
    features.requires_grad_()
    attention.requires_grad_()
    value = attribute_features(features, attention, POOLINGS[name])
    assert torch.isfinite(value).all()
    value.square().sum().backward()
    assert torch.isfinite(features.grad).all()
    assert torch.isfinite(attention.grad).all()


@each_pooling
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_are_pooled_in_float32(name, dtype):
    """F^p A^p of float16 would be 0 or inf: 0.04^6.5 is 8e-10, 300^6.5 is 1e16."""
    features, attention = make_maps(scale=0.04)
    features, attention = (100 * features).to(dtype), attention.to(dtype)
    result = attribute_features(features, attention, POOLINGS[name])
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), literal(features, attention, name), atol=1e-6, rtol=1e-4)


@each_pooling
def test_autocast_changes_nothing(name):
    features, attention = make_maps()
    outside = attribute_features(features, attention, POOLINGS[name])
    attention.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = attribute_features(features, attention, POOLINGS[name])
        distances = pairwise_distances(inside)
    torch.testing.assert_close(inside, outside, atol=0, rtol=0)
    torch.testing.assert_close(distances, pairwise_distances(outside), atol=0, rtol=0)
    distances.sum().backward()
    assert torch.isfinite(attention.grad).all()


def test_maps_that_do_not_fit_are_refused():
    features, attention = make_maps()
    with pytest.raises(ValueError, match="do not fit"):
        attribute_features(features, attention[:, :, :2], Pooling())
    with pytest.raises(ValueError, match="do not fit"):
        attribute_features(features[:2], attention, Pooling())


def test_inputs_are_not_changed():
    features, attention = make_maps(zeros=0.5)
    copies = features.clone(), attention.clone()
    for pooling in POOLINGS.values():
        pairwise_distances(attribute_features(features, attention, pooling))
    assert torch.equal(features, copies[0])
    assert torch.equal(attention, copies[1])


@each_pooling
def test_no_tensor_of_all_passes_is_ever_made(name):
    """N x M x C x H x W never exists: the largest tensor is the map itself or N x M x C."""
    n, m, c, h, w = 4, 16, 64, 8, 4
    features, attention = make_maps(n, m, c, h, w)
    attention.requires_grad_()
    with LargestStorage() as seen:
        attribute_features(features, attention, POOLINGS[name]).sum().backward()
    assert seen.bytes <= 4 * max(n * c * h * w, n * m * c, n * m * h * w)
    with LargestStorage() as seen:  # the measure sees it where it is made
        (features[:, None] * attention[:, :, None]).sum()
    assert seen.bytes == 4 * n * m * c * h * w


# Distances of all pairs


@pytest.mark.parametrize("shape", [(6, 5, 32), (2, 1, 8), (24, 3, 256), (1, 4, 8)])
def test_distances_equal_the_differences(shape):
    features = torch.randn(shape, generator=torch.Generator().manual_seed(2)) + 3  # far from the origin
    weight = torch.rand(shape[0], shape[0], shape[1])
    ours, plain = features.clone().requires_grad_(), features.double().requires_grad_()
    distances = pairwise_distances(ours)
    exact = pairwise_distances_plain(plain)
    assert distances.shape == (shape[0], shape[0], shape[1])
    torch.testing.assert_close(distances.double(), exact, atol=1e-5, rtol=1e-5)
    (distances * weight).sum().backward()
    assert torch.isfinite(ours.grad).all()
    eye = torch.eye(shape[0], dtype=torch.bool)
    exact[~eye].mul(weight[~eye]).sum().backward()
    # torch gives norm's gradient at 0 as 0 on the diagonal of the reference too
    torch.testing.assert_close(ours.grad.double(), plain.grad, atol=1e-4, rtol=1e-4)


def test_distances_of_single_features_are_a_matrix():
    features = torch.randn(5, 16, generator=torch.Generator().manual_seed(3))
    distances = pairwise_distances(features)
    torch.testing.assert_close(distances, torch.cdist(features, features), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(distances, pairwise_distances(features.unsqueeze(1))[:, :, 0])
    assert torch.equal(distances, distances.T)
    assert (distances.diagonal() == 0).all()


@given(st.integers(0, 10_000), st.sampled_from([1e-3, 1.0, 1e3]), st.sampled_from([0.0, 1.0, 30.0]))
@settings(max_examples=20, deadline=None)
def test_duplicates_have_distance_zero_and_no_gradient(seed, scale, outlier):
    """The same image twice in a batch: the root of a rounding error is not a distance, and has no direction."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(10, 2, 1024, generator=generator)
    features[7] += outlier
    features = scale * (features + 1)
    features[2] = features[7]
    features.requires_grad_()
    distances = pairwise_distances(features)
    assert (distances[2, 7] == 0).all()
    assert (distances[7, 2] == 0).all()
    others = ~torch.eye(10, dtype=torch.bool)
    others[2, 7] = others[7, 2] = False
    assert (distances[others] > 0).all()
    distances[2, 7].sum().backward(retain_graph=True)
    assert (features.grad == 0).all()
    distances.sum().backward()
    assert torch.isfinite(features.grad).all()
    assert features.grad.abs().max() <= 2 * 10  # each unit direction at most once per pair and order


def test_near_but_unequal_images_keep_their_distance():
    """Two frames of one person are at a hundredth of the batch's spread, not at zero."""
    features = torch.randn(8, 2, 512, generator=torch.Generator().manual_seed(4))
    features[1] = features[0] + 0.01 * torch.randn(2, 512, generator=torch.Generator().manual_seed(5))
    exact = pairwise_distances_plain(features.double())
    torch.testing.assert_close(pairwise_distances(features).double(), exact, atol=1e-4, rtol=1e-3)


def test_a_batch_of_equal_images_is_all_zero():
    features = torch.full((4, 3, 16), 0.1234, requires_grad=True)
    distances = pairwise_distances(features)
    assert (distances == 0).all()
    distances.sum().backward()
    assert (features.grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_distances_of_half_precision_features_are_float32(dtype):
    features = (200 * torch.randn(6, 2, 64, generator=torch.Generator().manual_seed(6))).to(dtype)
    distances = pairwise_distances(features)  # squares of these sum up to 2.5e6
    assert distances.dtype == torch.float32
    torch.testing.assert_close(
        distances.double(), pairwise_distances_plain(features.double()), atol=1e-2, rtol=1e-5
    )


def test_distances_never_hold_all_differences():
    """N x N x M x D never exists, forward or backward."""
    n, m, d = 12, 8, 128
    features = torch.randn(n, m, d, requires_grad=True)
    with LargestStorage() as seen:
        pairwise_distances(features).sum().backward()
    assert seen.bytes <= 4 * max(n * m * d, n * n * m)


# Neck and attention maps


def test_a_batchnorm_necks_shift_cancels_and_its_scale_stays():
    norm = nn.BatchNorm2d(7)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.normal_(norm.bias)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    features = torch.randn(4, 3, 7)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    through = pairwise_distances(apply_neck(norm.eval(), features))
    torch.testing.assert_close(through, pairwise_distances(features * scale), atol=1e-5, rtol=1e-4)


def test_a_reducing_neck_acts_on_every_attribute():
    neck = nn.Sequential(nn.Conv2d(7, 4, 1, bias=False), nn.BatchNorm2d(4)).eval()
    features = torch.randn(2, 3, 7)
    result = apply_neck(neck, features)
    assert result.shape == (2, 3, 4)
    for k in range(3):
        torch.testing.assert_close(result[:, k], neck(features[:, k, :, None, None]).flatten(1))


@given(st.tuples(st.integers(1, 9), st.integers(1, 9)))
@settings(max_examples=25, deadline=None)
def test_resized_attention_stays_positive(size):
    attention = torch.rand(2, 3, 4, 2) + 1e-30
    resized = resize_attention(attention, size)
    assert resized.shape == (2, 3, *size)
    assert (resized > 0).all()
