"""FIDI inside pytorch-metric-learning, and under open-metric-learning's protocol: the same value for the same batch."""

import pytest
import torch
from pytorch_metric_learning import distances, miners, reducers

from fastreid_projects.fidi.losses import REDUCTIONS, FIDILoss, pair_losses
from fastreid_projects.fidi.metric_learning import EuclideanDistance, FIDIMetricLoss


def batch(n=32, d=64, ids=8, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(n, d, generator=generator).to(dtype) / 4
    features[9] = features[1]
    return features, torch.arange(n) % ids


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_same_value_and_gradient_as_the_bare_loss(reduction):
    features, labels = batch()
    ours, theirs = (features.clone().requires_grad_() for _ in range(2))
    expected = FIDILoss(1.2, 0.7, reduction)(ours, labels)
    loss = FIDIMetricLoss(1.2, 0.7, reduction)(theirs, labels)
    expected.backward()
    loss.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(theirs.grad, ours.grad)


def test_a_given_reducer_takes_the_default_ones_place():
    features, labels = batch()
    loss = FIDIMetricLoss(reducer=reducers.SumReducer())(features, labels)
    torch.testing.assert_close(loss, FIDILoss(reduction="sum")(features, labels))
    loss = FIDIMetricLoss(reduction="sum", reducer=reducers.MeanReducer())(features, labels)
    torch.testing.assert_close(loss, FIDILoss()(features, labels))


def test_an_unknown_reduction_is_named():
    with pytest.raises(ValueError, match="the reduction is 'none', but has to be one of mean, sum, balanced"):
        FIDIMetricLoss(reduction="none")


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "distance",
    [
        distances.CosineSimilarity(),
        distances.LpDistance(),
        distances.LpDistance(normalize_embeddings=False),
        EuclideanDistance(),
    ],
    ids=["cosine", "unit Lp", "Lp", "ours"],
)
def test_half_precision_is_computed_in_float32(distance, dtype, scale):
    features, labels = batch(dtype=torch.float64)
    half = (features * scale).to(dtype).requires_grad_()
    single = half.detach().float().requires_grad_()
    loss, expected = (FIDIMetricLoss(distance=distance)(x, labels) for x in (half, single))
    expected.backward()
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(half.grad, single.grad.to(dtype))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(FIDIMetricLoss(distance=distance)(half, labels), expected)
    reference = FIDIMetricLoss(distance=distance)(
        half[:8], labels[:8], ref_emb=half[8:], ref_labels=labels[8:]
    )
    assert torch.isfinite(reference)


@pytest.mark.parametrize("reduction", ["mean", "balanced"])
@pytest.mark.parametrize(
    "reducer",
    [
        reducers.MeanReducer(),
        reducers.AvgNonZeroReducer(),
        reducers.ThresholdReducer(low=0.1),
        reducers.PerAnchorReducer(),
        reducers.ClassWeightedReducer(torch.linspace(0.5, 1.5, 8)),
    ],
    ids=lambda reducer: type(reducer).__name__,
)
def test_their_reducers_work(reducer, reduction):
    features, labels = batch()
    features.requires_grad_()
    loss = FIDIMetricLoss(reduction=reduction, reducer=reducer)(features, labels)
    loss.backward()
    assert loss > 0
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize(
    "miner",
    [
        miners.MultiSimilarityMiner(),
        miners.PairMarginMiner(),
        miners.BatchHardMiner(),
        miners.TripletMarginMiner(),
    ],
    ids=lambda miner: type(miner).__name__,
)
def test_their_miners_choose_the_pairs(miner):
    features, labels = batch()
    chosen = miner(features, labels)
    loss = FIDIMetricLoss()(features, labels, chosen)
    if len(chosen) == 3:
        positive, negative = (chosen[0], chosen[1]), (chosen[0], chosen[2])
    else:
        positive, negative = chosen[:2], chosen[2:]
    matrix = EuclideanDistance()(features)
    every = [pair_losses(matrix[a, b], labels[a] == labels[b]) for a, b in (positive, negative) if len(a)]
    torch.testing.assert_close(loss, torch.cat(every).mean())


def test_their_distances_work():
    features, labels = batch(dtype=torch.float64)
    off = ~torch.eye(len(features), dtype=torch.bool)
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    unit = torch.nn.functional.normalize(features, dim=1)
    for distance, matrix in (
        (distances.LpDistance(), torch.cdist(unit, unit)),
        (distances.CosineSimilarity(), 1 - unit @ unit.T),
        (distances.LpDistance(normalize_embeddings=False, p=1), torch.cdist(features, features, p=1)),
    ):
        loss = FIDIMetricLoss(distance=distance)(features, labels)
        torch.testing.assert_close(loss, pair_losses(matrix, same)[off].mean())
    with pytest.raises(ValueError, match="DotProductSimilarity is a similarity without an upper bound"):
        FIDIMetricLoss(distance=distances.DotProductSimilarity())


def test_reference_embeddings_are_another_batch():
    features, labels = batch(dtype=torch.float64)
    loss = FIDIMetricLoss()(features[:8], labels[:8], ref_emb=features[8:], ref_labels=labels[8:])
    matrix = torch.cdist(features[:8], features[8:])
    same = labels[:8].unsqueeze(1) == labels[8:].unsqueeze(0)
    torch.testing.assert_close(loss, pair_losses(matrix, same).mean())


@pytest.mark.parametrize("reduction", ["mean", "balanced"])
def test_without_pairs_it_is_zero(reduction):
    features = torch.ones(1, 4, requires_grad=True)
    loss = FIDIMetricLoss(reduction=reduction)(features, torch.tensor([0]))
    loss.backward()
    assert loss == 0


def test_open_metric_learnings_protocol():
    """criterion(features, labels) with labels as a tensor or a list; their package wants numpy below 2."""
    features, labels = batch()
    criterion = FIDILoss()
    value = criterion(features, labels)
    assert value == criterion(features, labels.tolist())
    torch.testing.assert_close(value, FIDIMetricLoss()(features, labels))
