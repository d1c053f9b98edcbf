"""Alignment losses against loops, by hand, and where they vanish."""

import math

import pytest
import torch

from fastreid_projects.mpn.alignment import ALIGNMENTS, alignment_loss, soft_sharing_loss


def cosine_distance(a, b):
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    norm = math.sqrt(sum(float(x) ** 2 for x in a)) * math.sqrt(sum(float(x) ** 2 for x in b))
    return 1 - dot / norm


def mean(rows):
    return [sum(float(row[i]) for row in rows) / len(rows) for i in range(len(rows[0]))]


def plain(name, h, g, labels):
    """Eq. 6-9 with loops."""
    if name == "sample":
        return mean([[cosine_distance(a, b)] for a, b in zip(h, g, strict=True)])[0]
    groups = (
        [range(len(h))]
        if name == "batch"
        else [[i for i in range(len(h)) if labels[i] == pid] for pid in sorted(set(labels.tolist()))]
    )
    return sum(cosine_distance(mean([h[i] for i in s]), mean([g[i] for i in s])) for s in groups) / len(
        groups
    )


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    h, g = (torch.randn(7, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    return h, g, torch.tensor([4, 4, 9, 0, 0, 0, 9])


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_against_loops(batch, name):
    assert ALIGNMENTS[name](*batch).item() == pytest.approx(plain(name, *batch), abs=1e-9)


def test_by_hand():
    """Identity 0 agrees (0), identity 1 is orthogonal (1): 0.5; sample-wise 0, 1, 2: 1."""
    h = torch.tensor([[1.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    g = torch.tensor([[5.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    assert ALIGNMENTS["sample"](h, g, torch.tensor([0, 1, 2])).item() == pytest.approx(1)
    assert ALIGNMENTS["class"](h[:2], g[:2], torch.tensor([0, 1])).item() == pytest.approx(0.5)


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_equal_directions_cost_nothing(batch, name):
    h, _, labels = batch
    assert ALIGNMENTS[name](h, 3 * h, labels).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_gradient(batch, name):
    h, g, labels = batch
    assert torch.autograd.gradcheck(
        lambda a, b: ALIGNMENTS[name](a, b, labels), (h.requires_grad_(), g.requires_grad_())
    )


def test_class_wise_is_sample_wise_for_one_image_each_and_batch_wise_for_one_identity(batch):
    h, g, _ = batch
    torch.testing.assert_close(ALIGNMENTS["class"](h, g, torch.arange(7)), ALIGNMENTS["sample"](h, g, None))
    torch.testing.assert_close(
        ALIGNMENTS["class"](h, g, torch.zeros(7).long()), ALIGNMENTS["batch"](h, g, None)
    )


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_edges(name):
    """Vectors of zero, huge and half-precision ones, an empty batch: finite values and gradients."""
    labels = torch.tensor([0, 0, 1, 1])
    for h in (torch.zeros(4, 6), torch.full((4, 6), 6e4).half(), torch.randn(4, 6).bfloat16()):
        h = h.clone().requires_grad_()
        loss = alignment_loss(name, h, torch.zeros(4, 6, dtype=h.dtype), labels)
        loss.backward()
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss)
        assert torch.isfinite(h.grad).all()
    empty = torch.zeros(0, 6, requires_grad=True)
    loss = alignment_loss(name, empty, empty, torch.zeros(0).long())
    loss.backward()
    assert loss.item() == 0


def test_soft_sharing():
    a, b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    with torch.no_grad():
        for layer, value in ((a, 1.0), (b, 3.0)):
            layer.weight.fill_(value)
            layer.bias.fill_(value)
    loss = soft_sharing_loss([(a, b)])
    assert loss.item() == 6 * 4
    loss.backward()
    assert torch.equal(a.weight.grad, torch.full((2, 2), -4.0))
    assert torch.equal(b.bias.grad, torch.full((2,), 4.0))
    assert soft_sharing_loss([(a, a)]).item() == 0
    assert soft_sharing_loss([]).item() == 0


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_a_feature_of_zeros_is_not_moved(name):
    """It has no direction; next to it a cosine's gradient would be 1e7."""
    labels = torch.arange(3)
    h = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    if name == "batch":
        h = torch.zeros(3, 2)
    h.requires_grad_()
    g = torch.tensor([[1.0, 1.0], [2.0, 1.0], [1.0, 3.0]], requires_grad=True)
    alignment_loss(name, h, g, labels).backward()
    assert not h.grad[0].any()
    assert h.grad.abs().max() < 10
    assert g.grad.abs().max() < 10
    assert name == "batch" or h.grad[1:].abs().sum() > 0


def test_class_wise_knows_no_number_of_identities(batch):
    """A GPU would be waited for; tensors without numbers pass."""
    h, g, labels = (x.to("meta") for x in batch)
    assert ALIGNMENTS["class"](h, g, labels).shape == ()
