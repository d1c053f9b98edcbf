"""Re-ranking: the published method and the host's from sparse matrices."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fastreid_projects.errors import ConfigError
from fastreid_projects.evaluation.chunks import make_chunks
from fastreid_projects.evaluation.reranking import (
    iter_jaccard_distances,
    nearest_by_faiss,
    nearest_by_torch,
)

compute_dist = pytest.importorskip("fastreid.utils.compute_dist")
pytestmark = pytest.mark.filterwarnings("ignore:This overload of addmm_")


def make_features(seed=0, count=160, ids=12, size=16):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(ids, size))
    points = centres[rng.integers(0, ids, count)] + rng.normal(scale=0.8, size=(count, size))
    return torch.from_numpy(points.astype(np.float32))


def own(features, queries, **keywords):
    chunks = iter_jaccard_distances(features[:queries], features[queries:], **keywords)
    return np.concatenate([rows for _, rows in chunks])


def naive_as_published(features, queries, k1, k2, share):
    """Zhong et al. 2017, sec. 3.2 to 3.5, image by image with sets, in float64."""
    features = features.double().numpy()
    squared = np.square(features[:, None] - features).sum(axis=2)
    original = squared / squared.max(axis=1, keepdims=True)
    ranks = np.argsort(original, axis=1, kind="stable")
    count = len(features)

    def reciprocal(image, k):
        return {n for n in ranks[image, : k + 1] if image in ranks[n, : k + 1]}

    encodings = np.zeros((count, count))
    for image in range(count):
        near = reciprocal(image, k1)
        expanded = set(near)
        for other in near:
            half = reciprocal(other, int(np.around(k1 / 2)))
            if len(half & near) > 2 / 3 * len(half):
                expanded |= half
        members = sorted(expanded)
        weights = np.exp(-original[image, members])
        encodings[image, members] = weights / weights.sum()
    averaged = np.stack([encodings[ranks[image, :k2]].mean(axis=0) for image in range(count)])
    smaller = np.minimum(averaged[:queries, None], averaged[queries:]).sum(axis=2)
    larger = np.maximum(averaged[:queries, None], averaged[queries:]).sum(axis=2)
    return (1 - smaller / larger) * (1 - share) + original[:queries, queries:] * share


def as_evaluated(features, queries, metric="euclidean", k1=20, k2=6, share=0.3, formula="zhong2017"):
    aqe = SimpleNamespace(ENABLED=False)
    rerank = SimpleNamespace(ENABLED=True, K1=k1, K2=k2, LAMBDA=share, FORMULA=formula)
    test = SimpleNamespace(METRIC=metric, AQE=aqe, RERANK=rerank)
    chunks = make_chunks(features[:queries], features[queries:], test, torch.device("cpu"))
    return np.concatenate([rows for _, rows in chunks()])


@pytest.mark.parametrize(
    "k1, k2, share", [(20, 6, 0.3), (20, 1, 0.0), (7, 3, 0.8), (5, 20, 0.3), (1, 1, 0.5)]
)
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_equals_the_published_method(metric, k1, k2, share):
    features = make_features(4)
    compared = torch.nn.functional.normalize(features, dim=1) if metric == "cosine" else features
    expected = naive_as_published(compared, 30, k1, k2, share)
    np.testing.assert_allclose(as_evaluated(features, 30, metric, k1, k2, share), expected, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 52.0])
def test_the_scale_of_the_features_changes_nothing(scale):
    features = make_features(3)
    np.testing.assert_allclose(as_evaluated(scale * features, 30), as_evaluated(features, 30), atol=1e-5)
    hosts = (as_evaluated(factor * features, 30, formula="fastreid") for factor in (1, scale))
    assert not np.allclose(*hosts, atol=1e-2)


def test_an_unknown_formula_is_named():
    with pytest.raises(ConfigError, match=r"TEST\.RERANK\.FORMULA is 'zhong'"):
        as_evaluated(make_features(), 30, formula="zhong")


@pytest.mark.parametrize("k1, k2", [(20, 6), (20, 1), (7, 3), (5, 20), (1, 1)])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_host(seed, k1, k2):
    features = make_features(seed)
    expected = compute_dist.compute_jaccard_distance(features, k1=k1, k2=k2, search_option=3)
    rows = own(features, 30, k1=k1, k2=k2, chunk=8, formula="fastreid")
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected[:30, 30:], atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_ranks_the_gallery_as_the_host_does(share):
    """reid_evaluation.py:104: jaccard * (1 - lambda) + distances * lambda."""
    features = torch.nn.functional.normalize(make_features(5, count=300, ids=25), dim=1)
    expected = compute_dist.compute_jaccard_distance(features, k1=20, k2=6, search_option=3)[:40, 40:]
    plain = (1 - features[:40] @ features[40:].t()).numpy()
    ours, hosts = (
        rows * (1 - share) + plain * share for rows in (own(features, 40, formula="fastreid"), expected)
    )
    for mine, host in zip(ours, hosts, strict=True):
        order = np.argsort(host, kind="stable")
        assert (np.diff(mine[order]) > -2e-6).all(), "the host's order, but for ties of rounding"


def test_neighbours_are_the_same_by_torch_as_by_faiss():
    features = make_features(6, count=200)
    for chunk in (7, 64, 500):
        found = nearest_by_torch(features, 20, chunk)
        np.testing.assert_array_equal(found, nearest_by_faiss(features.numpy(), 20))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_on_cuda():
    features = make_features(7, count=400)
    np.testing.assert_allclose(own(features.cuda(), 50), own(features, 50), atol=1e-5)
    np.testing.assert_allclose(own(features, 50, device="cuda"), own(features, 50), atol=1e-5)


def test_more_neighbours_than_images_act_like_all_images():
    features = make_features(2, count=12)
    rows = own(features, 4, k1=30, k2=6)
    assert ((rows >= 0) & (rows <= 1)).all()
    np.testing.assert_allclose(rows, own(features, 4, k1=24, k2=6), atol=1e-6)


def test_result_does_not_depend_on_the_chunks_and_copies_are_near():
    features = make_features(3, count=60)
    features[10:20] = features[:10]
    rows = own(features, 10, k1=6, k2=2, chunk=3)
    np.testing.assert_array_equal(rows, own(features, 10, k1=6, k2=2, chunk=100))
    assert (rows.argmin(axis=1) == np.arange(10)).all()


def test_many_copies_of_one_image_do_not_fail():
    features = torch.ones(50, 4)
    rows = own(features, 10, k1=5, k2=2)
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("keys", [{"k1": 0}, {"k2": 0}])
def test_bad_keys_are_named(keys):
    with pytest.raises(ConfigError, match=r"TEST\.RERANK\.K1"):
        own(make_features(), 10, **keys)
