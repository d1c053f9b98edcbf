"""FIDI against Eq. 4-6 written out in Python floats; its limits, its edges, its cost and its gradient."""

import itertools
import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from fastreid_projects.errors import ConfigError
from fastreid_projects.fidi.losses import FIDILoss, fidi_loss, pair_losses
from fastreid_projects.losses import LOSSES, build_losses

REDUCTIONS = ("mean", "sum", "balanced")


def of_a_pair(d, k, alpha, beta):
    """D(U||K) + D(K||U), each by Eq. 5, with 0 log 0 = 0."""
    u = math.exp(-beta * d)
    there = u * math.log(alpha * u / ((alpha - 1) * u + k)) if u > 1e-300 else 0.0
    back = k * math.log(alpha * k / ((alpha - 1) * k + u)) if k else 0.0
    return there + back


def naive(features, labels, alpha, beta, reduction):
    rows, ids = features.double().tolist(), labels.tolist()
    by_kind = {0: [], 1: []}
    for i, j in itertools.permutations(range(len(rows)), 2):
        k = int(ids[i] == ids[j])
        by_kind[k].append(of_a_pair(math.dist(rows[i], rows[j]), k, alpha, beta))
    everything = by_kind[0] + by_kind[1]
    if reduction == "balanced":
        return sum(sum(losses) / max(len(losses), 1) for losses in by_kind.values())
    return sum(everything) if reduction == "sum" else sum(everything) / max(len(everything), 1)


def batch(n=12, d=8, ids=4, seed=0, scale=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, d, generator=generator, dtype=torch.float64) * scale
    return features.to(dtype), torch.arange(n) % ids


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("alpha", "beta"), [(1.05, 0.5), (1.001, 2.0), (2.0, 0.1), (50.0, 1.0)])
def test_equals_the_equations_pair_by_pair(alpha, beta, reduction):
    for seed in range(3):
        features, labels = batch(seed=seed)
        features[1] = features[0]  # a negative at distance 0
        features[8] = features[4]  # a positive at distance 0
        loss = fidi_loss(features, labels, alpha=alpha, beta=beta, reduction=reduction)
        assert loss.item() == pytest.approx(naive(features, labels, alpha, beta, reduction), rel=1e-6)
        assert FIDILoss(alpha, beta, reduction)(features, labels) == loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 30.0])
def test_is_as_exact_in_low_precision_as_its_input(dtype, scale):
    features, labels = batch(32, 512, 8, scale=scale / 22, dtype=dtype)
    loss = fidi_loss(features, labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(naive(features, labels, 1.05, 0.5, "mean"), rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    distance=st.floats(0, 1e4),
    alpha=st.floats(1.001, 100),
    beta=st.floats(1e-3, 10),
    k=st.booleans(),
    double=st.booleans(),
)
def test_any_pair(distance, alpha, beta, k, double):
    dtype = torch.float64 if double else torch.float32
    d = torch.tensor([distance], dtype=dtype, requires_grad=True)
    loss = pair_losses(d, torch.tensor([k]), alpha, beta)
    (gradient,) = torch.autograd.grad(loss.sum(), d)
    expected = of_a_pair(d.item(), int(k), alpha, beta)
    tolerance = 1e-12 if double else 5e-6
    assert loss.item() == pytest.approx(
        expected, rel=1e-4, abs=tolerance * math.log(alpha / (alpha - 1)) + tolerance
    )
    assert math.isfinite(gradient.item())
    assert gradient.item() >= -tolerance if k else gradient.item() <= 0


def test_its_limits():
    """Eq. 7, and the minimum."""
    near, far = torch.zeros(1), torch.full((1,), 1e4)
    yes, no = torch.tensor([True]), torch.tensor([False])
    bound = math.log(1.05 / 0.05)
    assert pair_losses(near, yes).item() == 0
    assert pair_losses(near, no).item() == pytest.approx(bound, rel=1e-6)
    assert pair_losses(far, yes).item() == pytest.approx(bound, rel=1e-6)
    assert pair_losses(far, no).item() == 0
    distances = torch.linspace(0, 60, 400, dtype=torch.float64)
    same, other = (pair_losses(distances, flag.expand(400)) for flag in (yes, no))
    assert (same.diff() > 0).all(), "of one identity: grows with the distance"
    assert (other.diff() < 0).all(), "of two: falls"


@pytest.mark.parametrize("distance", [0.0, 1e-20, 1e-8, 1e-3, 1.0, 88.0, 1e3, 1e4])
@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16])
def test_value_and_gradient_are_finite_from_distance_0_to_10000(distance, autocast):
    features = torch.zeros(4, 3)
    features[1, 0] = features[3, 1] = distance
    features.requires_grad_()
    labels = torch.tensor([0, 0, 1, 1])
    with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
        loss = fidi_loss(features, labels)
    assert loss.dtype == torch.float32
    loss.backward()
    assert math.isfinite(loss.item())
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(dtype):
    """Features of a layer inside autocast are half precision; their squares would overflow float16."""
    features, labels = batch(16, 64, 4, scale=300, dtype=torch.float32)
    with torch.autocast("cpu", dtype):
        inside = fidi_loss(features.to(dtype), labels, beta=0.001)
        layer = torch.nn.functional.linear(features, torch.eye(64))
    assert layer.dtype == dtype
    assert inside.dtype == torch.float32
    assert torch.equal(inside, fidi_loss(features.to(dtype).float(), labels, beta=0.001))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradcheck(reduction):
    features, labels = batch(6, 4, 3)
    features = features.requires_grad_()
    torch.autograd.gradcheck(lambda x: fidi_loss(x, labels, reduction=reduction), (features,))
    torch.autograd.gradgradcheck(lambda x: fidi_loss(x, labels, reduction=reduction), (features,))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "labels", [[3, 3, 3, 3], [0, 1, 2, 3], [0, 0, 0, 1]], ids=["one identity", "no positive", "one negative"]
)
def test_one_sided_batches(labels, reduction):
    features, labels = batch(4)[0], torch.tensor(labels)
    loss = fidi_loss(features.requires_grad_(), labels, reduction=reduction)
    assert loss.item() == pytest.approx(naive(features, labels, 1.05, 0.5, reduction), rel=1e-7)
    loss.backward()
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("n", [0, 1])
def test_without_a_pair_it_is_zero_with_its_graph(n, reduction):
    features = torch.ones(n, 3, requires_grad=True)
    loss = fidi_loss(features, torch.zeros(n, dtype=torch.long), reduction=reduction)
    loss.backward()
    assert loss.item() == 0
    assert (features.grad == 0).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_batch_of_one_image_repeated(reduction):
    features = torch.full((8, 4), 5.0, requires_grad=True)
    loss = fidi_loss(features, torch.arange(8) // 2, reduction=reduction)
    loss.backward()
    assert loss.item() == pytest.approx(naive(features.detach(), torch.arange(8) // 2, 1.05, 0.5, reduction))
    assert (features.grad == 0).all()


def test_the_order_of_the_batch_does_not_matter_and_the_input_stays_as_it_is():
    features, labels = batch()
    before = features.clone()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(fidi_loss(features[order], labels[order]), fidi_loss(features, labels))
    assert torch.equal(features, before)


def test_labels_may_be_a_list():
    features, labels = batch()
    assert FIDILoss()(features, labels.tolist()) == FIDILoss()(features, labels)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 1.0}, "alpha of the FIDI loss is 1.0, but has to be above 1"),
        ({"alpha": math.nan}, "above 1"),
        ({"beta": 0.0}, "beta of the FIDI loss is 0.0, but has to be above 0"),
        ({"beta": math.inf}, "above 0"),
        ({"reduction": "max"}, "reduction is 'max'"),
    ],
)
def test_parameters_out_of_their_range_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        FIDILoss(**options)
    with pytest.raises(ValueError, match=words):
        fidi_loss(*batch(), **options)


def test_it_is_built_from_the_config():
    plugins = pytest.importorskip("fastreid_projects.plugins")
    cfg = plugins.get_cfg()
    assert repr(LOSSES["FIDILoss"].from_config(cfg)) == repr(FIDILoss())
    node = cfg.MODEL.LOSSES.FIDI
    node.ALPHA, node.BETA, node.REDUCTION, node.GATHER, node.SCALE = 1.5, 0.7, "balanced", True, 2.0
    (built,) = build_losses(cfg, ("FIDILoss",))
    assert repr(built.module) == repr(FIDILoss(1.5, 0.7, "balanced", True))
    assert (built.key, built.scale) == ("loss_fidi", 2.0)
    node.ALPHA = 0.5
    with pytest.raises(ConfigError, match=r"MODEL\.LOSSES\.FIDI: alpha of the FIDI loss is 0\.5"):
        build_losses(cfg, ("FIDILoss",))


ALONE = """
import importlib.abc, sys
TORCH = {"torch", "torchgen", "functorch", "typing_extensions", "sympy", "mpmath", "networkx", "jinja2", "markupsafe",
         "fsspec", "filelock", "numpy", "triton", "nvidia", "cuda", "setuptools", "pkg_resources", "_distutils_hack"}
KNOWN = TORCH | {"fastreid_projects"} | set(sys.stdlib_module_names)
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: find(name, *rest) if name.split(".")[0] in KNOWN else None
)
import torch
from fastreid_projects.fidi import FIDILoss
loss = FIDILoss()
embeddings = torch.randn(8, 16, requires_grad=True)
loss(embeddings, torch.arange(8) // 2).backward()
from fastreid_projects.fidi.contrastive import BatchHardContrastiveLoss
from fastreid_projects.losses import BatchHardTripletLoss
strangers = {name.split(".")[0] for name, module in sys.modules.items() if getattr(module, "__file__", None)} - KNOWN
print(torch.isfinite(embeddings.grad).all().item(), sorted(name for name in strangers if name[:2] != "__"))
"""


def test_a_bare_loop_needs_torch_alone(tmp_path):
    """Without the host and without anything else that torch itself does not bring."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=900, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True []"


class _Largest(TorchDispatchMode):
    """The most numbers that any operation inside gives."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return out


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("n", "d"), [(64, 16), (16, 200)])
def test_nothing_larger_than_n_by_n_or_the_features_is_made(n, d, reduction):
    features, labels = batch(n, d, 8, dtype=torch.float32)
    features.requires_grad_()
    with _Largest() as seen:
        fidi_loss(features, labels, reduction=reduction).backward()
    assert seen.numbers == max(n * n, n * d)
