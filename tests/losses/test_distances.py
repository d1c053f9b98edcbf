"""Pair distances: plain Python floats as the reference; near pairs, far pairs, half precision, gradients."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fastreid_projects.losses.distances import cosine_distances, euclidean_distances, pair_distances


def features_of(n=6, d=5, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def naive_euclidean(features):
    rows = features.double().tolist()
    return torch.tensor(
        [[math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True))) for y in rows] for x in rows],
        dtype=torch.float64,
    )


def naive_cosine(features):
    rows = features.double().tolist()
    norms = [math.sqrt(sum(a * a for a in x)) for x in rows]
    return torch.tensor(
        [
            [
                1 - sum(a * b for a, b in zip(x, y, strict=True)) / (m * n)
                for y, n in zip(rows, norms, strict=True)
            ]
            for x, m in zip(rows, norms, strict=True)
        ],
        dtype=torch.float64,
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("metric", "naive"), [("euclidean", naive_euclidean), ("cosine", naive_cosine)])
def test_equal_plain_floats(metric, naive, dtype):
    features = features_of(dtype=dtype)
    distances = pair_distances(features, metric)
    assert distances.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    tolerance = 1e-7 if dtype == torch.float64 else 1e-6
    torch.testing.assert_close(distances.double(), naive(features), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e3])
@pytest.mark.parametrize("step", [1e-1, 1e-3, 1e-5])
def test_near_pairs_of_large_features_are_exact(scale, step):
    """|x|^2 + |y|^2 - 2 xy in float32 is off by 3e-4 of the norm: far more than such a distance."""
    features = scale * features_of(4, 2048, dtype=torch.float32)
    features[1] = features[0] + scale * step * torch.randn(2048, generator=torch.Generator().manual_seed(1))
    expected = naive_euclidean(features[:2])
    torch.testing.assert_close(euclidean_distances(features)[:2, :2].double(), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("step", [1e-1, 1e-2, 1e-3, 1e-4])
def test_gradients_of_near_pairs_are_exact(step):
    """The gradient is a difference of two products 1 / distance times as large, which alone would be off by 1 %."""
    features = 30 * features_of(4, 2048, dtype=torch.float32)
    features[1] = features[0] + step * torch.randn(2048, generator=torch.Generator().manual_seed(1))
    features.requires_grad_()
    weights = torch.tensor([[0.0, 2, 3, 4], [1, 0, 5, 6], [0, 0, 0, 7], [0, 0, 0, 0]])
    (euclidean_distances(features) * weights).sum().backward()
    double = features.detach().double().requires_grad_()
    differences = (
        double.unsqueeze(1) - double.unsqueeze(0) + torch.eye(4).unsqueeze(2)
    )  # the diagonal has no weight
    (differences.norm(dim=2) * weights).sum().backward()
    error = (features.grad.double() - double.grad).norm(dim=1) / double.grad.norm(dim=1)
    # d^2 comes from float64 products of |x|^2, whose last bits depend on the order of summation: sqrt(D) of them.
    rounding = 4 * 2048**0.5 * torch.finfo(torch.float64).eps * (30 / step) ** 2
    assert error.max() < 1e-4 + rounding


def clustered(identities, scale):
    """32 features, their identities a ten-thousandth of their length wide; two of them equal."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(identities, 512, generator=generator)
    features = centres.repeat(32 // identities, 1) + 1e-4 * torch.randn(32, 512, generator=generator)
    features[1 + identities] = features[1]
    return scale * features


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("identities", [1, 4], ids=["collapsed", "clustered"])
def test_gradients_of_clustered_batches_are_exact(identities, scale):
    features = clustered(identities, scale).requires_grad_()
    weights = torch.randn(32, 32, generator=torch.Generator().manual_seed(1))
    (euclidean_distances(features) * weights).sum().backward()
    double = features.detach().double().requires_grad_()
    differences = double.unsqueeze(1) - double.unsqueeze(0)
    equal = (differences == 0).all(dim=2)
    distances = torch.where(equal.unsqueeze(2), 1.0, differences).norm(dim=2)
    (distances * weights)[~equal].sum().backward()
    torch.testing.assert_close(features.grad.double(), double.grad, rtol=1e-4, atol=1e-5)


class _Count(TorchDispatchMode):
    """Counts the operations inside."""

    operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operations += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("identities", [1, 4], ids=["collapsed", "clustered"])
def test_near_pairs_are_no_work_of_their_own(identities):
    counts = []
    for features in (features_of(32, 512, dtype=torch.float32), clustered(identities, 1.0)):
        features.requires_grad_()
        with _Count() as seen:
            euclidean_distances(features).sum().backward()
        counts.append(seen.operations)
    assert counts[1] <= counts[0] + 5


def test_equal_features_have_distance_zero_and_no_gradient():
    features = (30 * features_of(3, 2048, dtype=torch.float32)).repeat(2, 1).requires_grad_()
    distances = euclidean_distances(features)
    assert (distances[range(3), range(3, 6)] == 0).all()
    assert (distances.diagonal() == 0).all()
    distances[range(3), range(3, 6)].sum().backward()
    assert (features.grad == 0).all()


@pytest.mark.parametrize("distance", [0.0, 1e-30, 1e-10, 1e-4, 1.0, 1e4, 1e18])
def test_values_and_gradients_are_finite_at_any_distance(distance):
    features = torch.zeros(2, 3)
    features[1, 0] = distance
    features.requires_grad_()
    distances = euclidean_distances(features)
    assert distances[0, 1].item() == pytest.approx(distance, rel=1e-6)
    distances[0, 1].backward()
    assert features.grad[1].tolist() == pytest.approx([float(distance > 0), 0, 0])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_gradients_are_those_of_finite_differences(metric):
    features = features_of(4, 3).requires_grad_()
    weights = features_of(4, 4, seed=3)

    def weighted(x):
        distances = pair_distances(x, metric)
        off = ~torch.eye(4, dtype=torch.bool)
        return (distances * weights)[off].sum()

    torch.autograd.gradcheck(weighted, (features,))
    torch.autograd.gradgradcheck(weighted, (features,))


def test_a_feature_of_zeros_has_a_finite_cosine_distance():
    features = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    distances = cosine_distances(features)
    assert distances[0, 1] == 1
    distances[0, 1].backward()
    assert features.grad.abs().max() <= 1


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_autocast_does_not_reach_them(metric):
    features = 300 * features_of(8, 64, dtype=torch.float32)
    plain = pair_distances(features, metric)
    with torch.autocast("cpu", torch.bfloat16):
        inside = pair_distances(features, metric)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, plain)


def test_a_backward_pass_under_autocast_is_the_same():
    gradients = []
    for enabled in (False, True):
        features = features_of(8, 64, dtype=torch.float32).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            euclidean_distances(features).sum().backward()
        gradients.append(features.grad)
    assert torch.equal(*gradients)


def test_what_they_are_given_stays_as_it_is():
    features = features_of()
    before = features.clone()
    pair_distances(features, "euclidean")
    pair_distances(features, "cosine")
    assert torch.equal(features, before)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="'manhattan' but has to be one of euclidean, cosine"):
        pair_distances(features_of(), "manhattan")
    for bad in (torch.zeros(3), torch.zeros(2, 3, 4), torch.zeros(2, 3, dtype=torch.long)):
        with pytest.raises(ValueError, match=r"\(images, size\)"):
            euclidean_distances(bad)
        with pytest.raises(ValueError, match=r"\(images, size\)"):
            cosine_distances(bad)


def test_a_gpu_is_not_asked_whether_a_pair_is_near(monkeypatch):
    """There the gradient is taken in float64 in any case, which is the exact one."""
    features = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    on_cpu, on_gpu, exact = (x.clone().requires_grad_() for x in (features, features, features.double()))
    euclidean_distances(on_cpu).sum().backward()
    euclidean_distances(exact).sum().backward()
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda tensor: True))
    euclidean_distances(on_gpu).sum().backward()
    torch.testing.assert_close(on_gpu.grad, on_cpu.grad)
    torch.testing.assert_close(on_gpu.grad, exact.grad.float(), rtol=1e-6, atol=1e-6)
