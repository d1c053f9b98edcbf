"""Ranking: equal to a naive loop and to the host, whatever the ties, the chunks and the sizes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.evaluation.ranking import RankingMeter, evaluate_rank

rank = pytest.importorskip("fastreid.evaluation.rank")


def make_case(seed, queries=40, gallery=120, ids=8, cameras=3, levels=None):
    rng = np.random.default_rng(seed)
    distances = rng.random((queries, gallery), dtype=np.float32)
    if levels:
        distances = np.floor(distances * levels).astype(np.float32)
    sizes = ((queries, ids), (gallery, ids), (queries, cameras), (gallery, cameras))
    return distances, *(rng.integers(0, high, size) for size, high in sizes)


def meter_of(distances, q_pids, g_pids, q_camids, g_camids, chunk=7, max_rank=50):
    meter = RankingMeter(g_pids, g_camids, max_rank)
    for start in range(0, len(q_pids), chunk):
        part = slice(start, start + chunk)
        meter.update(distances[part], q_pids[part], q_camids[part])
    return meter.compute()


def naive(distances, q_pids, g_pids, q_camids, g_camids, max_rank=50):
    cmc, ap, inp = [], [], []
    for row, (pid, camid) in enumerate(zip(q_pids, q_camids, strict=True)):
        order = [j for j in np.argsort(distances[row]) if not (g_pids[j] == pid and g_camids[j] == camid)]
        hits = [place for place, j in enumerate(order) if g_pids[j] == pid]
        if not hits:
            continue
        cmc.append([any(hit <= k for hit in hits) for k in range(max_rank)])
        ap.append(sum((n + 1) / (hit + 1) for n, hit in enumerate(hits)) / len(hits))
        inp.append(len(hits) / (hits[-1] + 1))
    return np.mean(cmc, axis=0), np.array(ap), np.array(inp)


@pytest.mark.parametrize("levels", [None, 5, 1])
@pytest.mark.parametrize("gallery", [1, 4, 9, 30, 120])
def test_equals_a_naive_loop_also_on_ties_and_tiny_galleries(levels, gallery):
    case = make_case(gallery, gallery=gallery, ids=3, levels=levels)
    result = meter_of(*case)
    cmc, ap, inp = naive(*case)
    np.testing.assert_allclose(result.cmc, cmc, atol=1e-12)
    np.testing.assert_allclose(result.ap, ap, atol=1e-12)
    np.testing.assert_allclose(result.inp, inp, atol=1e-12)


@pytest.mark.parametrize("levels", [None, 40, 3])
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_host_also_on_ties(seed, levels):
    case = make_case(seed, gallery=150, levels=levels)
    cmc, ap, inp = rank.evaluate_py(*case, max_rank=50, use_metric_cuhk03=False)
    own_cmc, own_ap, own_inp = evaluate_rank(*case)
    np.testing.assert_allclose(own_cmc, cmc, atol=1e-6)
    np.testing.assert_allclose(own_ap, ap, atol=1e-12)
    np.testing.assert_allclose(own_inp, inp, atol=1e-12)


def test_cmc_keeps_its_final_value_where_the_host_cannot_stack_ragged_rows():
    # the first query keeps three gallery images, the second four
    distances = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]], dtype=np.float32)
    labels = np.array([0, 1]), np.array([0, 0, 1, 2]), np.array([0, 0]), np.array([0, 1, 1, 1])
    with pytest.raises(ValueError):
        rank.evaluate_py(distances, *labels, max_rank=50, use_metric_cuhk03=False)
    cmc, ap, inp = evaluate_rank(distances, *labels)
    assert cmc.tolist() == [0.5] + [1.0] * 49
    assert ap == [1.0, 0.5]
    assert inp == [1.0, 0.5]


@pytest.mark.parametrize("chunk", [1, 13, 40, 1000])
def test_result_does_not_depend_on_the_chunks(chunk):
    case = make_case(3, levels=6)
    one, other = meter_of(*case, chunk=chunk), meter_of(*case, chunk=17)
    for name in ("cmc", "ap", "inp", "valid", "first_hit"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_queries_without_a_match_are_skipped_and_marked():
    distances = np.array([[0.1, 0.2], [0.1, 0.2]], dtype=np.float32)
    result = meter_of(distances, np.array([7, 1]), np.array([0, 1]), np.array([0, 0]), np.array([1, 1]))
    assert result.valid.tolist() == [False, True]
    assert result.first_hit.tolist() == [-1, 1]
    assert result.num_valid == 1
    assert (result.rank(1), result.rank(2), result.rank(1000)) == (0.0, 1.0, 1.0)
    assert (result.mAP, result.mINP) == (0.5, 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_takes_tensors(dtype):
    distances, *labels = make_case(5)
    tensors = [torch.from_numpy(values) for values in labels]
    exact = torch.from_numpy(distances).to(dtype)
    result = meter_of(exact, *tensors)
    np.testing.assert_array_equal(result.ap, meter_of(exact.double().numpy().astype(np.float32), *labels).ap)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), queries=st.integers(1, 8), gallery=st.integers(1, 20))
def test_shares_lie_in_bounds_and_the_gallery_order_does_not_matter(data, queries, gallery):
    size = queries * gallery
    distances = np.array(data.draw(st.permutations(range(size))), dtype=np.float32).reshape(queries, gallery)
    labels = [data.draw(hnp.arrays(np.int64, n, elements=st.integers(0, 2))) for n in (queries, gallery) * 2]
    try:
        result = meter_of(distances, *labels)
    except DataError:
        return
    for values in (result.cmc, result.ap, result.inp):
        assert ((values >= 0) & (values <= 1)).all()
    assert (np.diff(result.cmc) >= 0).all()
    new = np.array(data.draw(st.permutations(range(gallery))))
    q_pids, g_pids, q_camids, g_camids = labels
    other = meter_of(distances[:, new], q_pids, g_pids[new], q_camids, g_camids[new])
    np.testing.assert_array_equal(result.first_hit, other.first_hit)
    np.testing.assert_allclose(result.ap, other.ap)


def test_perfect_ranking_gives_one():
    q_pids, g_pids = np.arange(4), np.repeat(np.arange(4), 3)
    distances = (q_pids[:, None] != g_pids).astype(np.float32)
    result = meter_of(distances, q_pids, g_pids, np.zeros(4), np.ones(12))
    assert result.cmc.tolist() == [1.0] * 50
    assert result.mAP == result.mINP == 1.0


def test_errors_name_the_cause():
    distances = np.zeros((1, 2), dtype=np.float32)
    zeros, ones = np.zeros(2, int), np.ones(2, int)
    with pytest.raises(DataError, match="own camera"):
        meter_of(distances, zeros[:1], zeros, zeros[:1], zeros)
    with pytest.raises(DataError, match="No query identity"):
        meter_of(distances, zeros[:1], ones, zeros[:1], ones)
    with pytest.raises(DataError, match="no query images"):
        meter_of(distances[:0], zeros[:0], ones, zeros[:0], ones)
    with pytest.raises(DataError, match="gallery is empty"):
        RankingMeter(zeros[:0], zeros[:0])
    with pytest.raises(DataError, match="cameras"):
        RankingMeter(zeros, zeros[:1])
    with pytest.raises(DataError, match="do not fit"):
        RankingMeter(ones, ones).update(distances[:, :1], zeros[:1], zeros[:1])
    with pytest.raises(DataError, match="NaN"):
        RankingMeter(ones, ones).update(distances * np.nan, zeros[:1], zeros[:1])
    with pytest.raises(ConfigError, match="CUHK03"):
        evaluate_rank(distances, zeros[:1], ones, zeros[:1], ones, use_metric_cuhk03=True)
