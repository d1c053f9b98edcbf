"""BCL: the batch-hard pairs of Eq. 2 in the contrastive loss that the paper reads off Eq. 1."""

import math

import pytest
import torch

from fastreid_projects.fidi.contrastive import BatchHardContrastiveLoss, batch_hard_contrastive_loss
from fastreid_projects.losses import LOSSES


def batch(n=12, ids=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 6, generator=generator, dtype=torch.float64), torch.arange(n) % ids


def naive(features, labels, margin, squared):
    rows, ids = features.tolist(), labels.tolist()
    pulls, pushes = [], []
    for a in range(len(rows)):
        positive = [math.dist(rows[a], x) for i, x in enumerate(rows) if i != a and ids[i] == ids[a]]
        negative = [math.dist(rows[a], x) for i, x in enumerate(rows) if ids[i] != ids[a]]
        pulls += [max(positive)] if positive else []
        pushes += [max(0.0, margin - min(negative))] if negative else []
    if squared:
        pulls, pushes = ([x * x / 2 for x in terms] for terms in (pulls, pushes))
    return sum(pulls) / max(len(pulls), 1) + sum(pushes) / max(len(pushes), 1)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("margin", [0.3, 3.0])
@pytest.mark.parametrize("labels", [None, [0] * 12, list(range(12)), [0, 0, *range(1, 11)]])
def test_equals_a_loop_over_anchors(labels, margin, squared):
    features, ids = batch()
    ids = ids if labels is None else torch.tensor(labels)
    loss = batch_hard_contrastive_loss(features, ids, margin=margin, squared=squared)
    assert loss.item() == pytest.approx(naive(features, ids, margin, squared), rel=1e-7)
    assert BatchHardContrastiveLoss(margin, squared)(features, ids) == loss


def test_by_hand():
    """On a line: 0 and 1 of one identity, 3 of another."""
    features, labels = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1])
    # positives 1, 1; negatives 3, 2, 2
    assert batch_hard_contrastive_loss(features, labels, margin=2.5).item() == pytest.approx(
        1 + (0 + 0.5 + 0.5) / 3
    )
    squared = batch_hard_contrastive_loss(features, labels, margin=2.5, squared=True)
    assert squared.item() == pytest.approx(0.5 + (0.125 + 0.125) / 3)


@pytest.mark.parametrize("squared", [False, True])
def test_gradcheck(squared):
    features, labels = batch(6, 2)
    torch.autograd.gradcheck(
        lambda x: batch_hard_contrastive_loss(x, labels, margin=4.0, squared=squared),
        (features.requires_grad_(),),
    )


@pytest.mark.parametrize("n", [0, 1])
def test_without_pairs_it_is_zero_with_its_graph(n):
    features = torch.ones(n, 3, requires_grad=True)
    loss = batch_hard_contrastive_loss(features, torch.zeros(n, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0


def test_copies_and_half_precision_stay_finite():
    features = torch.full((8, 4), 300.0, dtype=torch.float16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = batch_hard_contrastive_loss(features, torch.arange(8) // 2)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.3)
    assert torch.isfinite(features.grad).all()


def test_it_is_built_from_the_config():
    plugins = pytest.importorskip("fastreid_projects.plugins")
    cfg = plugins.get_cfg()
    node = cfg.MODEL.LOSSES.BCL
    node.MARGIN, node.SQUARED, node.GATHER = 2.0, True, True
    built = LOSSES["BatchHardContrastiveLoss"].from_config(cfg)
    assert repr(built) == repr(BatchHardContrastiveLoss(2.0, True, True))
