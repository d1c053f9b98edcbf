"""Batch-hard triplet loss: by hand, against a loop, against the host's, and where triplets are missing."""

import math

import pytest
import torch

from fastreid_projects.losses import LOSSES, BatchHardTripletLoss, batch_hard_triplet_loss
from fastreid_projects.losses.distances import METRICS


def batch(n=12, d=6, ids=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, d, generator=generator, dtype=torch.float64).to(dtype)
    return features, torch.arange(n) % ids


def naive(features, labels, *, margin=0.3, metric="euclidean", soft_margin=False, reduction="mean"):
    """Triplet by triplet in Python floats."""

    def distance(x, y):
        if metric == "euclidean":
            return math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))
        product = sum(a * b for a, b in zip(x, y, strict=True))
        return 1 - product / math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))

    rows, ids = features.double().tolist(), labels.tolist()
    losses = []
    for a, anchor in enumerate(rows):
        positive = [distance(anchor, x) for i, x in enumerate(rows) if i != a and ids[i] == ids[a]]
        negative = [distance(anchor, x) for i, x in enumerate(rows) if ids[i] != ids[a]]
        if positive and negative:
            gap = max(positive) - min(negative)
            losses.append(math.log1p(math.exp(gap)) if soft_margin else max(0.0, gap + margin))
    if reduction == "sum":
        return sum(losses)
    kept = [x for x in losses if x > 0] if reduction == "violating" else losses
    return sum(kept) / max(len(kept), 1)


@pytest.mark.parametrize("reduction", ["mean", "sum", "violating"])
@pytest.mark.parametrize("soft_margin", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_equals_a_loop_over_triplets(metric, soft_margin, reduction):
    for seed in range(3):
        features, labels = batch(seed=seed)
        labels[-1] = 9  # an anchor without a positive
        options = {"margin": 0.2, "metric": metric, "soft_margin": soft_margin, "reduction": reduction}
        expected = naive(features, labels, **options)
        result = batch_hard_triplet_loss(features, labels, **options)
        assert result.item() == pytest.approx(expected, rel=1e-7)
        assert BatchHardTripletLoss(**options)(features, labels) == result


def test_by_hand():
    """On a line: anchors 0, 1 of one identity, 3, 7 of another."""
    features, labels = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([5, 5, 8, 8])
    # farthest positive - nearest negative: 1 - 3, 1 - 2, 4 - 2, 4 - 6
    assert batch_hard_triplet_loss(features, labels, margin=0.5, reduction="sum") == 2.5
    assert batch_hard_triplet_loss(features, labels, margin=0.5) == 2.5 / 4
    assert batch_hard_triplet_loss(features, labels, margin=0.5, reduction="violating") == 2.5
    assert batch_hard_triplet_loss(features, labels, margin=1.5, reduction="violating") == (0.5 + 3.5) / 2
    soft = sum(math.log1p(math.exp(x)) for x in (-2, -1, 2, -2)) / 4
    assert batch_hard_triplet_loss(features, labels, soft_margin=True).item() == pytest.approx(soft)


@pytest.mark.parametrize("soft", [False, True])
def test_is_the_hosts_where_every_anchor_has_a_triplet(soft):
    host = pytest.importorskip("fastreid.modeling.losses")
    features, labels = batch(16, 32, 4, dtype=torch.float32)
    ours, theirs = (features.clone().requires_grad_() for _ in range(2))
    loss = batch_hard_triplet_loss(ours, labels, margin=0.3, soft_margin=soft)
    expected = host.triplet_loss(theirs, labels, 0.0 if soft else 0.3, False, True)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("soft_margin", [False, True])
def test_gradcheck(metric, soft_margin):
    features, labels = batch(6, 4, 2)
    torch.autograd.gradcheck(
        lambda x: batch_hard_triplet_loss(x, labels, margin=3.0, metric=metric, soft_margin=soft_margin),
        (features.requires_grad_(),),
    )


@pytest.mark.parametrize("soft_margin", [False, True])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "violating"])
@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [7]])
def test_without_a_triplet_it_is_zero_with_its_graph(labels, reduction, metric, soft_margin):
    features = batch(len(labels), 3)[0].requires_grad_()
    loss = batch_hard_triplet_loss(
        features, torch.tensor(labels), metric=metric, reduction=reduction, soft_margin=soft_margin
    )
    assert loss.item() == 0
    loss.backward()
    assert (features.grad == 0).all()


def test_an_empty_batch_is_zero():
    features = torch.zeros(0, 4, requires_grad=True)
    loss = batch_hard_triplet_loss(features, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss == 0


@pytest.mark.parametrize("metric", METRICS)
def test_copies_of_an_image_do_no_harm(metric):
    features = torch.ones(8, 4, requires_grad=True)
    loss = batch_hard_triplet_loss(features, torch.arange(8) // 2, margin=0.3, metric=metric)
    loss.backward()
    assert loss.item() == pytest.approx(0.3, abs=1e-6)
    assert torch.isfinite(features.grad).all()


def test_the_order_of_the_batch_does_not_matter():
    features, labels = batch(12, 6, 4)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    for metric in METRICS:
        first = batch_hard_triplet_loss(features, labels, metric=metric)
        torch.testing.assert_close(
            batch_hard_triplet_loss(features[order], labels[order], metric=metric), first
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    features, labels = batch(8, 16, 4, dtype=dtype)
    features = 200 * features  # squares beyond float16
    with torch.autocast("cpu", torch.bfloat16):
        inside = batch_hard_triplet_loss(features, labels)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, batch_hard_triplet_loss(features.float(), labels))


def test_it_is_built_from_the_config():
    plugins = pytest.importorskip("fastreid_projects.plugins")
    cfg = plugins.get_cfg()
    node = cfg.MODEL.LOSSES.BATCH_HARD
    assert repr(LOSSES["BatchHardTripletLoss"].from_config(cfg)) == repr(BatchHardTripletLoss())
    node.MARGIN, node.METRIC, node.SOFT_MARGIN, node.REDUCTION, node.GATHER = 0.2, "cosine", True, "sum", True
    built = LOSSES["BatchHardTripletLoss"].from_config(cfg)
    assert repr(built) == repr(BatchHardTripletLoss(0.2, "cosine", True, "sum", True))


def test_bad_arguments_are_named():
    features, labels = batch()
    with pytest.raises(ValueError, match="reduction is 'none'"):
        batch_hard_triplet_loss(features, labels, reduction="none")
    with pytest.raises(ValueError, match="reduction is 'none'"):
        BatchHardTripletLoss(reduction="none")
    with pytest.raises(ValueError, match="metric is 'l1'"):
        BatchHardTripletLoss(metric="l1")
    with pytest.raises(ValueError, match=r"12 features need labels of shape \(12,\), not \(11,\)"):
        batch_hard_triplet_loss(features, labels[:-1])
