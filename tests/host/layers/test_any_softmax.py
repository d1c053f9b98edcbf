"""Margin softmaxes equal the host's, also where a target is of no class, and wait for no GPU."""

import pytest
import torch
from fastreid.layers import any_softmax

from tests.host.as_it_is import host_function

CLASSES = ["CosSoftmax", "ArcSoftmax", "CircleSoftmax"]


def logits_of(forward, layer, cosines, targets):
    x = cosines.clone().requires_grad_()
    logits = forward(layer, x.clone(), targets)
    logits.square().sum().backward()
    return logits.detach(), x.grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("targets", [[3, 0, 0, 4, 1, 2], [3, -1, 0, 4, -1, 2]], ids=["all", "some"])
@pytest.mark.parametrize("name", CLASSES)
def test_logits_and_gradients_are_the_hosts(name, targets, dtype):
    layer = getattr(any_softmax, name)(5, 16, 0.35)
    cosines = (torch.rand(6, 5, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8).to(dtype)
    targets = torch.tensor(targets)
    expected = logits_of(host_function(any_softmax, f"{name}.forward"), layer, cosines, targets)
    found = logits_of(type(layer).forward, layer, cosines, targets)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", CLASSES)
def test_the_host_asks_how_many_targets_there_are(name):
    """Its ``torch.where`` has a size that a GPU has to be asked for; tensors without numbers cannot say."""
    layer = getattr(any_softmax, name)(5, 16, 0.35)
    cosines, targets = torch.empty(6, 5, device="meta"), torch.zeros(6, dtype=torch.long, device="meta")
    assert layer(cosines, targets).shape == (6, 5)
    with pytest.raises((NotImplementedError, RuntimeError)):
        host_function(any_softmax, f"{name}.forward")(layer, cosines, targets)
