"""Eq. 12 by hand, by labels and without; ranked in tiles as at once."""

import pytest
import torch

from fastreid_projects.amd.evaluation.reweighting import ReweightedRanking, exclusive_by_label, reweight
from fastreid_projects.evaluation.ranking import RankingMeter, evaluate_rank


def test_by_hand():
    """d = 5, d^k = 1, 3, 2, exclusive the first and the last: d' = 5 + 2; without labels 5 + 3."""
    parts = torch.tensor([1.0, 3.0, 2.0]).view(3, 1, 1)
    exclusive = torch.tensor([True, False, True]).view(3, 1, 1)
    distance = torch.tensor([[5.0]])
    assert reweight(distance, parts, exclusive).item() == 7.0
    assert reweight(distance, parts, None).item() == 8.0
    assert reweight(distance, parts, exclusive, gamma=0.5).item() == 6.0


def test_pairs_that_are_alike_or_unknown_keep_their_distance():
    labels = torch.tensor([[1, 0, 1], [-1, -1, -1]])
    exclusive = exclusive_by_label(labels[:1], labels)
    assert not exclusive.any()
    distances = torch.tensor([[2.0, 3.0]])
    assert torch.equal(reweight(distances, torch.rand(3, 1, 2), exclusive), distances)


def test_exclusive_by_label():
    exclusive = exclusive_by_label(torch.tensor([[1, 0]]), torch.tensor([[1, 1], [0, 0], [-1, 1]]))
    assert exclusive[:, 0].T.tolist() == [[False, True], [True, False], [False, True]]


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_tiles_rank_as_the_whole(gamma):
    generator = torch.Generator().manual_seed(0)
    q, g, m = 6, 30, 5
    pids = torch.cat([torch.arange(q), torch.arange(g) % 7])
    camids = torch.cat([torch.zeros(q, dtype=torch.long), 1 + torch.arange(g) % 2])
    attributes = torch.randint(-1, 2, (q + g, m), generator=generator)
    distances, parts = torch.rand(q, g, generator=generator), torch.rand(m, q, g, generator=generator)
    ranking = ReweightedRanking(
        pids, camids, attributes, q, gamma, lambda: RankingMeter(pids[q:], camids[q:])
    )
    for rows in (slice(0, 4), slice(4, 6)):
        ranking.start(rows)
        for columns in (slice(0, 11), slice(11, 30)):
            ranking.update(rows, columns, distances[rows, columns], parts[:, rows, columns])
        ranking.finish(rows)
    labels = (pids[:q].numpy(), pids[q:].numpy(), camids[:q].numpy(), camids[q:].numpy())
    for name, exclusive in (("label", exclusive_by_label(attributes[:q], attributes[q:])), ("free", None)):
        _, ap, _ = evaluate_rank(reweight(distances, parts, exclusive, gamma).numpy(), *labels)
        assert ranking.compute()[name].mAP == pytest.approx(sum(ap) / len(ap))
