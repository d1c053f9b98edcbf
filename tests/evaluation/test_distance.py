"""Distances in chunks: equal to the formula, never negative, and finite features only."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.evaluation.distance import check_finite, iter_distances


def whole(query, gallery, metric, chunk):
    parts = list(iter_distances(query, gallery, metric, chunk=chunk))
    assert [part.start for part, _ in parts] == list(range(0, len(query), chunk))
    return np.concatenate([rows for _, rows in parts])


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_equals_the_formula(metric, chunk):
    generator = torch.Generator().manual_seed(0)
    query, gallery = torch.randn(9, 5, generator=generator), torch.randn(11, 5, generator=generator)
    rows = whole(query, gallery, metric, chunk)
    if metric == "euclidean":
        expected = torch.cdist(query.double(), gallery.double()).square()
    else:
        expected = 1 - F.normalize(query.double(), dim=1) @ F.normalize(gallery.double(), dim=1).t()
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_is_never_negative_and_leaves_half_precision_features_alone(metric):
    features = torch.randn(30, 64, generator=torch.Generator().manual_seed(1)).half()
    before = features.clone()
    rows = whole(features, features, metric, 8)
    assert (rows >= 0).all()
    assert np.abs(np.diag(rows)).max() < 1e-3
    assert torch.equal(features, before)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_nearly_collapsed_features_keep_their_order(metric):
    """Images that differ by a ten-thousandth of their length: uncentred float32 products are noise there."""
    generator = torch.Generator().manual_seed(2)
    features = 50 * torch.randn(64, generator=generator) + 0.005 * torch.randn(40, 64, generator=generator)
    double = features.double()
    double = F.normalize(double, dim=1) if metric == "cosine" else double
    expected = torch.cdist(double[:20], double[20:]).square() * (0.5 if metric == "cosine" else 1)
    rows = whole(features[:20], features[20:], metric, 8)
    np.testing.assert_allclose(rows, expected.numpy(), rtol=1e-3)


def test_a_feature_of_zeros_is_at_cosine_distance_1():
    features = torch.eye(3)
    features[0] = 0
    expected = [[1, 1, 1], [1, 0, 1], [1, 1, 0]]
    np.testing.assert_allclose(whole(features, features, "cosine", 2), expected, atol=1e-6)


def test_errors_name_the_key_and_the_shapes():
    features = torch.zeros(2, 3)
    with pytest.raises(ConfigError, match=r"TEST\.METRIC is 'manhattan'"):
        next(iter_distances(features, features, "manhattan"))
    with pytest.raises(DataError, match=r"\(2, 3\).*\(2, 4\)"):
        next(iter_distances(features, torch.zeros(2, 4)))


def test_check_finite_names_the_images():
    features = torch.zeros(5, 3)
    check_finite(features)
    features[1, 0], features[3, 2] = float("nan"), float("inf")
    with pytest.raises(DataError, match=r"2 of 5 images .*\(b\.jpg, d\.jpg\)"):
        check_finite(features, [f"{letter}.jpg" for letter in "abcde"])
    with pytest.raises(DataError, match="number 1, number 3"):
        check_finite(features)


def test_large_galleries_are_compared_with_fewer_queries_at_a_time():
    """Half a million distractors: the distances that are in memory together stay as many."""
    from fastreid_projects.evaluation.distance import row_chunks

    chunks = list(row_chunks(3368, 520_000, 256))
    assert max(part.stop - part.start for part in chunks) * 520_000 <= 2**24
    assert [i for part in chunks for i in range(part.start, part.stop)] == list(range(3368))
    assert list(row_chunks(300, 15_913, 256)) == [slice(0, 256), slice(256, 300)]
    assert list(row_chunks(2, 2**25, 256)) == [slice(0, 1), slice(1, 2)]
