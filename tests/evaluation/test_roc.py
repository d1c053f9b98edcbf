"""TPR at small FPR: exactly the points of scikit-learn's curve, from counts alone."""

import numpy as np
import pytest
from sklearn import metrics

from fastreid_projects.errors import DataError
from fastreid_projects.evaluation.roc import tpr_at_fpr

roc = pytest.importorskip("fastreid.evaluation.roc")
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


@pytest.mark.parametrize("levels", [None, 300, 12, 2])
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_host(seed, levels):
    # few identities and a narrow overlap make the curve drop points on straight lines
    distances, *labels = make_case(seed, ids=2 if seed % 2 else 10, levels=levels)
    scores, different = roc.evaluate_roc_py(distances, *labels)
    fpr, tpr, _ = metrics.roc_curve(different, scores)
    expected = {target: tpr[np.argmin(np.abs(fpr - target))] for target in FPRS}
    assert tpr_at_fpr(chunks_of(distances), *labels, FPRS) == pytest.approx(expected, abs=1e-12)
    for target in FPRS:  # also alone, where fewer thresholds are counted
        assert tpr_at_fpr(chunks_of(distances), *labels, [target])[target] == pytest.approx(expected[target])


def test_same_camera_pairs_are_left_out_and_chunks_do_not_matter():
    distances, *labels = make_case(7)
    changed = distances.copy()
    same = (labels[0][:, None] == labels[1]) & (labels[2][:, None] == labels[3])
    changed[same] = 99
    assert tpr_at_fpr(chunks_of(distances), *labels) == tpr_at_fpr(chunks_of(changed, 7), *labels)


@pytest.mark.parametrize("overlap", [0, 0.05, 0.2, 5])
def test_equals_the_host_where_identities_are_well_separated(overlap):
    distances, *labels = make_case(8)
    different = (labels[0][:, None] != labels[1]).astype(np.float32)
    noise = np.random.default_rng(0).random(distances.shape, dtype=np.float32)
    noise[:3] *= 1 + overlap  # only three queries come near to other identities
    distances = different + noise
    scores, is_different = roc.evaluate_roc_py(distances, *labels)
    fpr, tpr, _ = metrics.roc_curve(is_different, scores)
    expected = {target: tpr[np.argmin(np.abs(fpr - target))] for target in FPRS}
    assert tpr_at_fpr(chunks_of(distances), *labels, FPRS) == pytest.approx(expected, abs=1e-12)


def test_missing_pairs_are_named():
    distances = np.zeros((2, 3), dtype=np.float32)
    zeros = np.zeros(3, int)
    with pytest.raises(DataError, match="same identity"):
        tpr_at_fpr(chunks_of(distances), zeros[:2], zeros, zeros[:2], zeros)
    with pytest.raises(DataError, match="different identities"):
        tpr_at_fpr(chunks_of(distances), zeros[:2], zeros, zeros[:2], zeros + 1)
