"""Scores as means over all orders of equally distant images: equal to what all orders give, one by one."""

import itertools

import numpy as np
import pytest
import torch
from fastreid.evaluation import ReidEvaluator

from fastreid_projects.config.checks import check_host_config
from fastreid_projects.errors import ConfigError
from fastreid_projects.evaluation.expected import expected_scores
from fastreid_projects.evaluation.ranking import RankingMeter


def naive(distances, gallery, cameras, max_rank, trapezoids=False):
    """AP, INP and CMC of one query (identity 1, camera 0) by a stable sort."""
    order = [j for j in np.argsort(distances, kind="stable") if (gallery[j], cameras[j]) != (1, 0)]
    hits = [place for place, j in enumerate(order) if gallery[j] == 1]
    precision = np.mean([(n + 1) / (hit + 1) for n, hit in enumerate(hits)])
    if trapezoids:
        before = np.mean([n / hit if hit else 1 for n, hit in enumerate(hits)])
        precision = (precision + before) / 2
    return [precision, len(hits) / (hits[-1] + 1), *(hits[0] <= k for k in range(max_rank))]


def meter_of(distances, gallery, cameras, max_rank=8, **options):
    meter = RankingMeter(gallery, cameras, max_rank, **{"expected_ties": True, **options})
    meter.update(distances[None].astype(np.float32), [1], [0])
    return meter.compute()


@pytest.mark.parametrize("trapezoids", [False, True])
@pytest.mark.parametrize("seed", range(15))
def test_equals_the_mean_over_every_order_of_the_gallery(seed, trapezoids):
    rng = np.random.default_rng(seed)
    distances, gallery, cameras = rng.integers(0, 3, 6), rng.integers(1, 3, 6), rng.integers(0, 2, 6)
    gallery[0], cameras[0] = 1, 1
    orders = [list(order) for order in itertools.permutations(range(6))]
    found = [naive(distances[o], gallery[o], cameras[o], 8, trapezoids) for o in orders]
    expected = np.mean(found, axis=0)
    result = meter_of(distances, gallery, cameras, trapezoids=trapezoids)
    assert result.ties.mAP == pytest.approx((np.min(found, axis=0)[0], np.max(found, axis=0)[0]))
    assert [result.mAP, result.mINP, *result.cmc] == pytest.approx(list(expected))
    assert [result.rank(k) for k in (1, 2, 5, 100)] == pytest.approx([*expected[[2, 3, 6]], 1.0])


def test_equals_the_mean_over_random_orders_of_a_large_gallery_of_few_distances():
    """As the issue that asked for it: eight distances, an mAP between 0.312 and 0.324 by the order."""
    rng = np.random.default_rng(0)
    q, g = 12, 60
    distances = rng.integers(0, 8, (q, g)).astype(np.float32)
    q_pids, g_pids = rng.integers(0, 4, q), rng.integers(0, 6, g)
    q_cams, g_cams = rng.integers(0, 2, q), rng.integers(0, 3, g)

    def scores(order, expected_ties):
        meter = RankingMeter(g_pids[order], g_cams[order], expected_ties=expected_ties)
        for rows in (slice(0, 5), slice(5, None)):
            meter.update(distances[rows][:, order], q_pids[rows], q_cams[rows])
        result = meter.compute()
        return result, np.array([result.mAP, result.mINP, result.rank(1), result.rank(5)])

    drawn = np.array([scores(rng.permutation(g), False)[1] for _ in range(1500)])
    result, means = scores(np.arange(g), True)
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (error > 0).all()
    assert (np.abs(drawn.mean(axis=0) - means) < 5 * error).all()
    np.testing.assert_allclose(scores(rng.permutation(g), True)[1], means, atol=1e-12)
    assert result.ties == scores(np.arange(g), False)[0].ties
    assert result.ties.mAP[0] < result.mAP < result.ties.mAP[1]


def test_without_ties_both_are_the_same():
    rng = np.random.default_rng(1)
    distances, gallery = rng.permutation(20).astype(np.float32), rng.integers(1, 4, 20)
    result = meter_of(distances, gallery, np.ones(20))
    plain = RankingMeter(gallery, np.ones(20), 8)
    plain.update(distances[None], [1], [0])
    by_order = plain.compute()
    assert (result.mAP, result.mINP, result.rank(3)) == (by_order.mAP, by_order.mINP, by_order.rank(3))
    assert result.expected == ()


def test_one_match_among_many_at_one_distance():
    scores = expected_scores(np.zeros(1), np.zeros(9999))
    assert [scores.ap, scores.inp] == pytest.approx([sum(1 / n for n in range(1, 10001)) / 10000] * 2)
    assert scores.within(5000) == pytest.approx(0.5)


@pytest.mark.parametrize(("ties", "rank_1"), [("order", (0, 100)), ("expected", (50,))])
def test_the_key_decides(tiny_cfg, ties, rank_1):
    evaluator = ReidEvaluator(tiny_cfg("TEST.TIES", ties), 1)
    labels = {"targets": torch.tensor([1, 1, 2]), "camids": torch.tensor([0, 1, 1])}
    evaluator.process(labels, torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    results = evaluator.evaluate()
    assert results["Rank-1"] in rank_1
    assert evaluator.counts["Rank-1_by_order"] == [0, 100]


def test_an_unknown_way_is_refused(tiny_cfg):
    with pytest.raises(ConfigError, match=r"TEST\.TIES .*'mean'.*order, expected"):
        check_host_config(tiny_cfg("TEST.TIES", "mean"))


def authors_average_precision(order, matches):
    """As Market-1501's and MPN's authors have it: old and new precision at each match, halved."""
    places = np.flatnonzero(np.isin(order, matches))
    total = 0.0
    for number, place in enumerate(places):
        old = number / place if place else 1.0
        total += (old + (number + 1) / (place + 1)) / 2 / len(places)
    return total


def test_trapezoids_are_market_1501s_own(tiny_cfg):
    rng = np.random.default_rng(3)
    distances, gallery = rng.permutation(30).astype(np.float32), rng.integers(1, 4, 30)
    options = {"trapezoids": True, "expected_ties": False}
    result = meter_of(distances, gallery, np.ones(30), **options)
    wanted = authors_average_precision(np.argsort(distances), np.flatnonzero(gallery == 1))
    assert result.mAP == pytest.approx(wanted)
    plain = meter_of(distances, gallery, np.ones(30), expected_ties=False)
    assert result.mAP < plain.mAP
    assert (result.mINP, result.rank(5)) == (plain.mINP, plain.rank(5))
    evaluator = ReidEvaluator(tiny_cfg("TEST.AP", "trapezoid"), 1)
    labels = {"targets": torch.tensor([1, 2, 1]), "camids": torch.tensor([0, 1, 1])}
    evaluator.process(labels, torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]))
    assert evaluator.evaluate()["mAP"] == pytest.approx(25)
