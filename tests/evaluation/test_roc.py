"""TPR at small FPR: exactly the points of scikit-learn's curve, from the distances that decide."""

import numpy as np
import pytest
from sklearn import metrics

from fastreid_projects.errors import DataError
from fastreid_projects.evaluation.roc import tpr_at_fpr

FPRS = (1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0)


def chunks_of(distances, chunk=16):
    return lambda: ((slice(i, i + chunk), distances[i : i + chunk]) for i in range(0, len(distances), chunk))


def make_case(seed, queries=60, gallery=200, ids=10, cameras=3, levels=None):
    rng = np.random.default_rng(seed)
    labels = [rng.integers(0, high, n) for high in (ids, cameras) for n in (queries, gallery)]
    distances = rng.random((queries, gallery)) + 0.5 * (labels[0][:, None] != labels[1])
    if levels:
        distances = np.round(distances * levels)
    return distances.astype(np.float32), *labels


def by_scikit_learn(distances, labels, targets):
    """The greatest TPR whose FPR is not above each target; a pair of one person is positive, a near one scores high."""
    query_pids, gallery_pids, query_camids, gallery_camids = labels
    same = query_pids[:, None] == gallery_pids
    counted = ~(same & (query_camids[:, None] == gallery_camids))
    fpr, tpr, _ = metrics.roc_curve(same[counted], -distances[counted], drop_intermediate=False)
    return {target: tpr[fpr <= target].max() for target in targets}


@pytest.mark.parametrize("levels", [None, 300, 12, 2])
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_curve_of_scikit_learn(seed, levels):
    distances, *labels = make_case(seed, ids=2 if seed % 2 else 10, levels=levels)
    expected = by_scikit_learn(distances, labels, FPRS)
    assert tpr_at_fpr(chunks_of(distances), *labels, FPRS) == pytest.approx(expected, abs=1e-12)
    for target in FPRS:  # also alone, where fewer distances are kept
        assert tpr_at_fpr(chunks_of(distances), *labels, [target])[target] == pytest.approx(expected[target])


def test_one_person_is_the_positive_class():
    """The host's own numbers call different persons positive."""
    pids, cameras = np.array([1, 2]), np.zeros(2, int)
    near_to_itself = np.array([[0.1, 0.9], [0.8, 0.2]], dtype=np.float32)
    found = tpr_at_fpr(chunks_of(near_to_itself), pids, pids, cameras, cameras + 1, [0.0, 1.0])
    assert found == {0.0: 1.0, 1.0: 1.0}
    turned = tpr_at_fpr(chunks_of(1 - near_to_itself), pids, pids, cameras, cameras + 1, [0.0, 1.0])
    assert turned == {0.0: 0.0, 1.0: 1.0}


def test_a_rate_that_the_pairs_cannot_tell_from_0_is_said(host_log):
    distances, *labels = make_case(1, queries=5, gallery=20)
    with host_log.at_level("WARNING"):
        tpr_at_fpr(chunks_of(distances), *labels)
    assert "cannot distinguish an FPR of 0.0001 from 0" in host_log.text


def test_same_camera_pairs_are_left_out_and_chunks_do_not_matter():
    distances, *labels = make_case(7)
    changed = distances.copy()
    same = (labels[0][:, None] == labels[1]) & (labels[2][:, None] == labels[3])
    changed[same] = 99
    assert tpr_at_fpr(chunks_of(distances), *labels) == tpr_at_fpr(chunks_of(changed, 7), *labels)


def test_missing_pairs_are_named():
    distances = np.zeros((2, 3), dtype=np.float32)
    zeros = np.zeros(3, int)
    with pytest.raises(DataError, match="same identity"):
        tpr_at_fpr(chunks_of(distances), zeros[:2], zeros, zeros[:2], zeros)
    with pytest.raises(DataError, match="different identities"):
        tpr_at_fpr(chunks_of(distances), zeros[:2], zeros, zeros[:2], zeros + 1)
