"""X-mAP and ADRE: pair by pair with scikit-learn, ties and unknown rows included, whatever the chunks."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from fastreid_projects.amd.evaluation import attribute_metrics, attribute_ranking
from fastreid_projects.amd.evaluation.attribute_metrics import AttributeMeter
from fastreid_projects.amd.evaluation.attribute_ranking import attribute_average_precision, expected_random_ap

NAMES = ("adre", "x_map_e", "x_map_c", "random_x_map_e", "random_x_map_c")


def reference_ap(distances, exclusive):
    """AP_e and AP_c of one pair; 0 where there is nothing to find."""
    ap_e = average_precision_score(exclusive, distances) if exclusive.any() else 0.0
    ap_c = average_precision_score(~exclusive, -distances) if not exclusive.all() else 0.0
    return ap_e, ap_c


@given(st.integers(1, 26), st.integers(0, 10_000), st.sampled_from([1, 2, 4, 10_000]))
@settings(max_examples=60, deadline=None)
def test_average_precision_equals_scikit_learn_also_on_ties(m, seed, levels):
    rng = np.random.default_rng(seed)
    distances = rng.integers(0, levels, (m, 20)).astype(np.float32)
    exclusive = rng.random((m, 20)) < rng.random()
    ap_e, ap_c = attribute_average_precision(torch.from_numpy(distances), torch.from_numpy(exclusive))
    for pair in range(20):
        expected = reference_ap(distances[:, pair], exclusive[:, pair])
        assert (float(ap_e[pair]), float(ap_c[pair])) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("m", [1, 7, 8, 9, 16, 23, 26, 33])
def test_sorting_equals_counting(m):
    """Also for words of any length, and where every fourth pair has two equal distances."""
    generator = torch.Generator().manual_seed(m)
    distances = torch.rand(m, 400, generator=generator)
    distances[-1, ::4] = distances[0, ::4]
    distances[0, ::5] = -0.0
    exclusive = torch.rand(m, 400, generator=generator) < torch.rand(400, generator=generator)
    by_sorting = attribute_average_precision(distances, exclusive)
    by_counting = attribute_ranking._by_counting(distances, exclusive)
    torch.testing.assert_close(by_sorting, by_counting, atol=1e-6, rtol=0)


def test_sorting_is_what_runs_on_a_cpu(monkeypatch):
    """Only tied pairs and negative values are counted."""
    counted = []
    monkeypatch.setattr(
        attribute_ranking, "_by_counting", lambda d, e: counted.append(d.shape[1]) or (d[0], d[0])
    )
    distances = torch.rand(5, 30, generator=torch.Generator().manual_seed(0))
    exclusive = torch.arange(5).unsqueeze(1).expand(5, 30) < 2
    attribute_average_precision(distances, exclusive)
    assert counted == []
    distances[1, 3] = distances[2, 3]
    attribute_average_precision(distances, exclusive)
    assert counted == [1]
    attribute_average_precision(distances - 0.5, exclusive)
    assert counted == [1, 30]


def test_average_precision_by_hand():
    """Descending 9 E, 7 C, 5 E, 1 C: AP_e = (1/1 + 2/3) / 2; ascending C, E, C, E: AP_c = (1/1 + 2/3) / 2."""
    distances = torch.tensor([[5.0], [9.0], [7.0], [1.0]])
    exclusive = torch.tensor([[True], [True], [False], [False]])
    ap_e, ap_c = attribute_average_precision(distances, exclusive)
    assert float(ap_e) == pytest.approx(5 / 6)
    assert float(ap_c) == pytest.approx(5 / 6)


def test_ties_do_not_depend_on_the_order_of_attributes():
    """With all distances equal, each hit is seen among all M: precision is the share of hits."""
    exclusive = torch.tensor([[True], [False], [False], [False]])
    for order in itertools.permutations(range(4)):
        ap_e, ap_c = attribute_average_precision(torch.ones(4, 1), exclusive[list(order)])
        assert float(ap_e) == pytest.approx(0.25)
        assert float(ap_c) == pytest.approx(0.75)


def test_a_perfect_and_the_worst_order():
    exclusive = torch.arange(26).unsqueeze(1) < 6
    descending = torch.arange(26, 0, -1.0).unsqueeze(1)
    ap_e, ap_c = attribute_average_precision(descending, exclusive)
    assert (float(ap_e), float(ap_c)) == (1.0, 1.0)
    ap_e, ap_c = attribute_average_precision(-descending, exclusive)
    assert float(ap_e) == pytest.approx(sum(i / (20 + i) for i in range(1, 7)) / 6)
    assert float(ap_c) == pytest.approx(sum(i / (6 + i) for i in range(1, 21)) / 20)


def test_many_attributes_that_are_all_tied():
    distances = torch.zeros(300, 2)
    exclusive = torch.zeros(300, 2, dtype=torch.bool)
    exclusive[:, 0] = True
    exclusive[0, 1] = True
    ap_e, ap_c = attribute_average_precision(distances, exclusive)
    assert ap_e.tolist() == pytest.approx([1.0, 1 / 300])
    assert ap_c.tolist() == pytest.approx([0.0, 299 / 300])


# A random order's expectation


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 7])
def test_expected_random_ap_by_enumeration(m):
    """Every order of m items is as likely: the mean over all places that the hits can take."""
    for hits in range(1, m + 1):
        places = itertools.combinations(range(m), hits)
        values = [sum((n + 1) / (place + 1) for n, place in enumerate(chosen)) / hits for chosen in places]
        assert float(expected_random_ap(torch.tensor(hits), m)) == pytest.approx(np.mean(values), abs=1e-6)


@pytest.mark.parametrize("hits", [1, 4, 25, 26])
def test_expected_random_ap_by_sampling(hits):
    rng = np.random.default_rng(hits)
    distances = torch.from_numpy(rng.random((26, 20_000), dtype=np.float32))
    exclusive = (torch.arange(26) < hits).unsqueeze(1).expand(26, 20_000)
    ap_e, ap_c = attribute_average_precision(distances, exclusive)
    assert float(ap_e.mean()) == pytest.approx(float(expected_random_ap(torch.tensor(hits), 26)), abs=0.006)
    if hits < 26:
        assert float(ap_c.mean()) == pytest.approx(
            float(expected_random_ap(torch.tensor(26 - hits), 26)), abs=0.006
        )


def test_expected_random_ap_keeps_its_shape():
    hits = torch.tensor([[1, 2, 3], [4, 5, 26]])
    result = expected_random_ap(hits, 26)
    assert result.shape == (2, 3)
    assert result.dtype == torch.float32
    assert float(result[1, 2]) == pytest.approx(1.0)
    assert (result.flatten().diff() > 0).all()


# The meter


def make_retrieval(seed=0, q=9, g=31, m=7, ids=5):
    """Distances, identity-level attributes, one unknown (4), two identical (0, 1), two opposite (0, 2)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (ids, m))
    labels[1] = labels[0]
    labels[2] = 1 - labels[0]
    labels[4] = -1
    query_pids = torch.from_numpy(rng.integers(0, ids, q))
    gallery_pids = torch.from_numpy(rng.integers(0, ids, g))
    query_pids[:3] = torch.tensor([0, 1, 4])
    gallery_pids[:5] = torch.tensor([0, 1, 2, 4, 4])
    labels = torch.from_numpy(labels).to(torch.int8)
    parts = torch.from_numpy(np.floor(rng.random((m, q, g), dtype=np.float32) * 6) / 6)
    distances = parts.sum(dim=0) * torch.from_numpy(rng.uniform(0.9, 1.1, (q, g)).astype(np.float32))
    return distances, parts, query_pids, gallery_pids, labels[query_pids], labels[gallery_pids]


def measure(case, chunk=4, columns=None):
    distances, parts, query_pids, gallery_pids, query_attributes, gallery_attributes = case
    meter = AttributeMeter(gallery_pids, gallery_attributes)
    for start in range(0, len(query_pids), chunk):
        rows = slice(start, start + chunk)
        meter.update(distances[rows], parts[:, rows], query_pids[rows], query_attributes[rows], columns)
    return meter.compute()


def reference(case, columns=None):
    """Every pair of query and gallery once, as sec. 4.3 says it."""
    distances, parts, query_pids, gallery_pids, query_attributes, gallery_attributes = case
    columns = list(range(len(parts))) if columns is None else columns.tolist()
    sums = {name: [] for name in NAMES}
    for q, g in itertools.product(range(len(query_pids)), range(len(gallery_pids))):
        d = float(distances[q, g])
        if d > 0:
            sums["adre"].append(abs(d - float(parts[:, q, g].double().sum())) / d)
        known = [k for k in columns if query_attributes[q, k] >= 0 and gallery_attributes[g, k] >= 0]
        if query_pids[q] == gallery_pids[g] or not known:
            continue
        exclusive = (query_attributes[q][known] != gallery_attributes[g][known]).numpy()
        ap_e, ap_c = reference_ap(parts[known, q, g].numpy(), exclusive)
        for kind, ap, hits in (("e", ap_e, exclusive.sum()), ("c", ap_c, (~exclusive).sum())):
            if hits:
                sums[f"x_map_{kind}"].append(ap)
                sums[f"random_x_map_{kind}"].append(float(expected_random_ap(torch.tensor(hits), len(known))))
    return {name: np.mean(values) if values else math.nan for name, values in sums.items()}


@pytest.mark.parametrize("seed", range(4))
def test_meter_equals_a_loop_over_all_pairs(seed):
    case = make_retrieval(seed)
    assert measure(case) == pytest.approx(reference(case), abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_an_attribute_that_is_unknown_for_one_image_leaves_the_pair(seed):
    """It is neither ranked nor a hit: the pair is ranked as if it had only the other attributes."""
    case = make_retrieval(seed)
    generator = torch.Generator().manual_seed(seed)
    for labels in case[4:]:
        labels[torch.rand(labels.shape, generator=generator) < 0.2] = -1
    known = (case[4][:, None] >= 0) & (case[5][None] >= 0)
    assert known.any(dim=2).logical_and(~known.all(dim=2)).any(), "pairs of which some attributes are known"
    assert measure(case) == pytest.approx(reference(case), abs=1e-5)
    columns = torch.tensor([0, 2, 5])
    assert measure(case, columns=columns) == pytest.approx(reference(case, columns), abs=1e-5)


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
@pytest.mark.parametrize("pairs", [1, 3, 1 << 14])
def test_meter_does_not_depend_on_its_chunks(chunk, pairs, monkeypatch):
    case = make_retrieval(1)
    whole = measure(case, chunk=100)
    monkeypatch.setattr(attribute_metrics, "_PAIRS_CPU", pairs)
    assert measure(case, chunk) == pytest.approx(whole, abs=1e-7)


def test_meter_over_some_columns_takes_all_of_them_for_adre():
    """Across datasets only the shared attributes can be right or wrong; the distance is the sum of all."""
    case = make_retrieval(2)
    columns = torch.tensor([1, 3, 6])
    result = measure(case, columns=columns)
    assert result == pytest.approx(reference(case, columns), abs=1e-5)
    assert result["adre"] == pytest.approx(measure(case)["adre"])


def test_unknown_columns_that_are_not_asked_for_do_no_harm():
    case = make_retrieval(3)
    known = measure(case, columns=torch.tensor([0, 2]))
    others = torch.tensor([0, 1, 2, 3, 4, 6])
    without = measure(case, columns=others)
    case[4][:, 5], case[5][:, 5] = -1, -1
    assert measure(case, columns=torch.tensor([0, 2])) == pytest.approx(known)
    assert measure(case) == pytest.approx(without), "one that is known of no image leaves all pairs"


def one_pair(query, gallery, pids=(1, 2)):
    parts = torch.tensor([0.4, 0.3, 0.2]).view(3, 1, 1)
    labels = torch.tensor([query]), torch.tensor([gallery])
    return torch.tensor([[1.0]]), parts, torch.tensor([pids[0]]), torch.tensor([pids[1]]), *labels


def test_which_pairs_count():
    """Same identity: in ADRE alone. M_E = 0: not in X-mAP_e. M_E = M: not in X-mAP_c. Unknown: in neither."""
    cases = {
        "same identity": (one_pair([0, 0, 1], [0, 0, 1], (1, 1)), False, False),
        "identical": (one_pair([0, 0, 1], [0, 0, 1]), False, True),
        "opposite": (one_pair([0, 0, 1], [1, 1, 0]), True, False),
        "mixed": (one_pair([0, 0, 1], [1, 0, 1]), True, True),
        "unknown query": (one_pair([-1, -1, -1], [1, 0, 1]), False, False),
        "unknown gallery": (one_pair([0, 0, 1], [-1, -1, -1]), False, False),
        "nothing known of both": (one_pair([0, -1, -1], [-1, 0, 1]), False, False),
        "one known, differs": (one_pair([0, -1, 1], [1, 0, -1]), True, False),
        "one known, alike": (one_pair([0, -1, 1], [0, 0, -1]), False, True),
    }
    for name, (case, in_e, in_c) in cases.items():
        result = measure(case)
        assert result["adre"] == pytest.approx(0.1), name
        assert math.isnan(result["x_map_e"]) != in_e, name
        assert math.isnan(result["x_map_c"]) != in_c, name
        assert math.isnan(result["random_x_map_e"]) == math.isnan(result["x_map_e"]), name


def test_adre_leaves_out_pairs_at_distance_zero():
    """|d - d_hat| / d has no value for the same picture in query and gallery."""
    distances = torch.tensor([[0.0, 2.0], [4.0, 0.0]])
    parts = torch.tensor([[[0.1, 1.0], [3.0, 0.0]], [[0.0, 0.5], [2.0, 0.0]]])
    pids = torch.tensor([1, 2])
    meter = AttributeMeter(pids, torch.zeros(2, 2, dtype=torch.int8))
    meter.update(distances, parts, pids, torch.zeros(2, 2, dtype=torch.int8))
    assert meter.compute()["adre"] == pytest.approx((0.5 / 2 + 1 / 4) / 2)


def test_an_empty_meter_and_one_without_any_attribute_give_nan():
    meter = AttributeMeter(torch.tensor([1]), torch.zeros(1, 2))
    assert all(math.isnan(value) for value in meter.compute().values())
    case = one_pair([-1, -1, -1], [-1, -1, -1])
    assert measure(case, columns=torch.tensor([], dtype=torch.long))["adre"] == pytest.approx(0.1)


def test_inputs_are_not_changed():
    case = make_retrieval(0)
    copies = [tensor.clone() for tensor in case]
    measure(case)
    assert all(torch.equal(a, b) for a, b in zip(case, copies, strict=True))


def test_two_meters_do_not_share_their_sums():
    first = measure(make_retrieval(0))
    measure(make_retrieval(1))
    assert measure(make_retrieval(0)) == first
