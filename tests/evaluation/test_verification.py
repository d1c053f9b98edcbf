"""Verification measures against plain loops, and a bootstrap over persons that covers what it says."""

import itertools

import numpy as np
import pytest

from fastreid_projects.errors import DataError
from fastreid_projects.evaluation import verification
from fastreid_projects.evaluation.verification import (
    Distances,
    Labelled,
    bootstrap,
    det_curve,
    equal_error,
    pair_distances,
    tar_at_far,
)


def people(count=30, shots=4, size=8, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(count), shots)
    centres = rng.standard_normal((count, size))
    features = (centres[codes] + noise * rng.standard_normal((len(codes), size))).astype(np.float32)
    return Labelled(features, codes, np.tile(np.arange(shots) % 2, count))


def by_loop(labelled):
    same, different = [], []
    known = len(set(labelled.cameras.tolist())) > 1
    for i, j in itertools.combinations(range(len(labelled.people)), 2):
        distance = np.linalg.norm(labelled.features[i].astype(np.float64) - labelled.features[j])
        if labelled.people[i] != labelled.people[j]:
            different.append(distance)
        elif not known or labelled.cameras[i] != labelled.cameras[j]:
            same.append(distance)
    return np.sort(same), np.sort(different)


@pytest.mark.parametrize("cameras", [True, False])
def test_all_pairs_once(cameras):
    labelled = people()
    labelled = labelled if cameras else labelled._replace(cameras=np.zeros_like(labelled.people))
    found = pair_distances(labelled)
    same, different = by_loop(labelled)
    assert found.total == len(different) == labelled.different
    np.testing.assert_allclose(found.same, same, rtol=1e-4)
    np.testing.assert_allclose(found.different, different, rtol=1e-4)


def test_the_nearest_are_enough_where_there_are_many(monkeypatch):
    whole = pair_distances(people())
    monkeypatch.setattr(verification, "_MOST", 1000)
    part = pair_distances(people())
    assert len(part.different) == 1000
    assert part.total == whole.total
    assert np.array_equal(part.different, whole.different[:1000])
    assert tar_at_far(part, (1e-3, 1e-2)) == tar_at_far(whole, (1e-3, 1e-2))
    assert equal_error(part) == equal_error(whole)
    assert equal_error(part._replace(different=part.different[:5])) is None


def test_tar_at_far_by_a_loop():
    found = pair_distances(people(noise=1.0))
    for rate in (1e-3, 1e-2, 0.1, 0.5):
        threshold = found.threshold(rate)
        assert found.far(threshold) <= rate
        above = found.different[np.searchsorted(found.different, threshold, side="right")]
        assert found.far(above) > rate
        expected = sum(distance < threshold for distance in found.same) / len(found.same)
        assert tar_at_far(found, [rate]) == {rate: pytest.approx(expected)}
    assert tar_at_far(found, [1e-9]) == {}  # fewer pairs than such a rate needs
    assert found.threshold(1) == float("inf")


@pytest.mark.parametrize(
    ("same", "different", "rate"),
    [([1, 2], [3, 4], 0), ([3, 4], [1, 2], 1), ([4], [1], 1), ([1, 3], [2, 4], 0.5), ([1], [1], 0.5)],
)
def test_equal_error_by_hand(same, different, rate):
    found = equal_error(Distances(np.float32(same), np.float32(different), len(different)))
    assert found.rate == rate


def test_chance_has_an_equal_error_of_a_half():
    rng = np.random.default_rng(0)
    labelled = Labelled(
        rng.standard_normal((400, 4)).astype(np.float32), np.arange(400) % 40, np.zeros(400, int)
    )
    assert equal_error(pair_distances(labelled)).rate == pytest.approx(0.5, abs=0.05)


def test_the_det_curve_ends_where_all_are_accepted():
    found = pair_distances(people(noise=1.0))
    curve = det_curve(found)
    assert (np.diff(curve[:, 1]) >= 0).all()
    assert (np.diff(curve[:, 2]) <= 0).all()
    for threshold, far, frr in curve[::50]:
        assert far == pytest.approx(np.mean(found.different < threshold))
        assert frr == pytest.approx(1 - np.mean(found.same < threshold))


def test_bootstrap_weights_by_a_loop():
    """One draw against pictures that are really copied."""
    labelled = people(count=12, shots=3, noise=0.8)
    found = pair_distances(labelled)
    rate = 0.05
    drawn = np.random.default_rng(5).integers(0, 12, 12)
    same, different = [], []
    pictures = [
        (int(p), copy, i) for copy, p in enumerate(drawn) for i in np.nonzero(labelled.people == p)[0]
    ]
    for (p, copy_p, i), (q, copy_q, j) in itertools.combinations(pictures, 2):
        distance = np.linalg.norm(labelled.features[i] - labelled.features[j])
        if p != q:
            different.append(distance)
        elif copy_p == copy_q and labelled.cameras[i] != labelled.cameras[j]:
            same.append(distance)
    different = np.sort(different)
    threshold = different[int(rate * len(different))]
    got = bootstrap(labelled, found, rate, draws=1, seed=5)
    assert got.threshold[0] == pytest.approx(threshold, rel=1e-4)
    assert got.tar[0] == pytest.approx(np.mean(np.array(same) < threshold * (1 - 1e-6)), abs=0.03)


def test_the_interval_covers_other_people():
    """About 95 of 100 sets of other persons; far fewer if pairs were drawn as if they did not depend on each other."""
    truth = pair_distances(people(count=400, seed=99)).threshold(0.01)
    covered = 0
    for seed in range(40):
        labelled = people(count=30, seed=seed)
        low, high = bootstrap(labelled, pair_distances(labelled), 0.01, draws=100).threshold
        covered += low <= truth <= high
    assert covered >= 30


def test_what_cannot_be_fitted_is_a_sentence():
    labelled = people()
    with pytest.raises(DataError, match="one person"):
        pair_distances(labelled._replace(people=np.zeros_like(labelled.people)))
    with pytest.raises(DataError, match="two cameras"):
        pair_distances(labelled._replace(cameras=labelled.people))
