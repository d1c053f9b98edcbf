"""The soft margin equals the host's without a look at its value."""

import pytest
import torch
from fastreid.modeling.losses import triplet_loss
from fastreid.modeling.meta_arch import baseline, mgn

from fastreid_projects.host.modeling.losses.triplet_loss import _host_triplet_loss


def batch(scale=1.0):
    features = torch.randn(16, 8, generator=torch.Generator().manual_seed(0)) * scale
    return features, torch.arange(16) // 4


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_value_and_gradient_are_the_hosts(margin, cosine, hard):
    features, labels = batch()
    ours, theirs = (features.clone().requires_grad_() for _ in range(2))
    found = triplet_loss(ours, labels, margin, cosine, hard)
    expected = _host_triplet_loss(theirs, labels, margin, cosine, hard)
    found.backward()
    expected.backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("scale", [80.0, 1e4])
def test_where_the_exponential_overflows_the_hosts_hinge_is_taken(scale):
    features, labels = batch(scale)
    ours, theirs = (features.clone().requires_grad_() for _ in range(2))
    found, expected = (
        triplet_loss(ours, labels, 0.0, False, True),
        _host_triplet_loss(theirs, labels, 0.0, False, True),
    )
    found.backward()
    expected.backward()
    torch.testing.assert_close(found, expected)
    assert ours.grad.isfinite().all(), "the host's own gradient is taken of the hinge alone"
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_tensors_without_numbers_pass():
    """The host asks for the loss's value, which on a GPU waits for the whole forward pass."""
    features, labels = torch.empty(8, 4, device="meta"), torch.zeros(8, dtype=torch.long, device="meta")
    assert triplet_loss(features, labels, 0.0, False, True).shape == ()
    with pytest.raises((NotImplementedError, RuntimeError)):
        _host_triplet_loss(features, labels, 0.0, False, True)


def test_it_is_the_one_that_the_architectures_call():
    for module in (baseline, mgn):
        assert module.triplet_loss.__wrapped__ is triplet_loss
