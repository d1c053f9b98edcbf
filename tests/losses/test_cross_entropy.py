"""Cross entropy: the papers' label smoothing by a loop, and the host's beside it."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from fastreid.modeling.meta_arch import baseline, mgn

from fastreid_projects.losses.cross_entropy import cross_entropy


@pytest.fixture(scope="module")
def hosts():
    """The host's own function, which the patch has replaced in its module."""
    folder = importlib.util.find_spec("fastreid").submodule_search_locations[0]
    path = Path(folder, "modeling", "losses", "cross_entroy_loss.py")
    spec = importlib.util.spec_from_file_location("host_cross_entropy", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.cross_entropy_loss


def batch(classes=5, count=6, dtype=torch.float64):
    generator = torch.Generator().manual_seed(classes)
    logits = 3 * torch.randn(count, classes, generator=generator, dtype=dtype)
    return logits, torch.randint(classes, (count,), generator=generator)


def naive(logits, labels, eps, alpha=0.2):
    """Luo et al. 2019, eq. 1: q = 1 - (C - 1) / C eps for the label, eps / C for all others."""
    total, classes = 0.0, logits.shape[1]
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        normaliser = math.log(sum(math.exp(value) for value in row))
        smoothing = eps if eps >= 0 else alpha * math.exp(row[label] - normaliser)
        for c, value in enumerate(row):
            q = 1 - (classes - 1) / classes * smoothing if c == label else smoothing / classes
            total -= q * (value - normaliser)
    return total / len(logits)


@pytest.mark.parametrize("eps", [0.0, 0.1, 0.4, -1.0])
@pytest.mark.parametrize("classes", [2, 5])
def test_it_is_the_papers_smoothing(eps, classes):
    logits, labels = batch(classes)
    assert float(cross_entropy(logits, labels, eps)) == pytest.approx(naive(logits, labels, eps), rel=1e-12)


def test_the_hosts_epsilon_is_greater_by_one_class(hosts):
    logits, labels = batch(5)
    torch.testing.assert_close(hosts(logits, labels, 0.1), cross_entropy(logits, labels, 0.1 * 5 / 4))
    assert not torch.allclose(hosts(logits, labels, 0.1), cross_entropy(logits, labels, 0.1), rtol=1e-3)


def test_one_class_is_no_division_by_zero(hosts):
    logits = torch.randn(3, 1, requires_grad=True)
    loss = cross_entropy(logits, torch.zeros(3, dtype=torch.long), 0.1)
    loss.backward()
    assert float(loss.detach()) == 0
    with pytest.raises(ZeroDivisionError):
        hosts(logits, torch.zeros(3, dtype=torch.long), 0.1)


@pytest.mark.parametrize("eps", [0.1, -1.0])
def test_gradients(eps):
    logits, labels = batch(4, 3)
    logits.requires_grad_()
    if eps >= 0:
        assert torch.autograd.gradcheck(lambda values: cross_entropy(values, labels, eps), (logits,))
    half = cross_entropy(logits.detach().half() * 100, labels, eps)
    assert half.dtype == torch.float32
    assert torch.isfinite(half)


def test_the_hosts_architectures_use_it():
    assert baseline.cross_entropy_loss is cross_entropy
    assert mgn.cross_entropy_loss is cross_entropy
