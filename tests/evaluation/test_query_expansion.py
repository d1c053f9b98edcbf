"""Query expansion: as published, the host's numbers, and more neighbours than images."""

import importlib.util
import logging
from pathlib import Path

import pytest
import torch

from fastreid_projects.errors import ConfigError
from fastreid_projects.evaluation.query_expansion import expand_queries


def make_features(seed=0, count=40):
    return torch.randn(count, 12, generator=torch.Generator().manual_seed(seed)).split([10, count - 10])


def naive_as_published(query, gallery, times, k, alpha):
    """Sum of the query and its k nearest gallery images of unit length, weighted by similarity^alpha."""
    query, gallery = (x.double() / x.double().norm(dim=1, keepdim=True) for x in (query, gallery))
    for _ in range(times):
        new = []
        for own in query:
            similarity = gallery @ (own / own.norm())
            nearest = similarity.argsort(descending=True)[:k]
            weights = similarity[nearest].clamp(min=0) ** alpha
            new.append((own + (weights[:, None] * gallery[nearest]).sum(dim=0)) / (1 + weights.sum()))
        query = torch.stack(new)
    return query, gallery


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("k", [1, 5, 30])
@pytest.mark.parametrize("alpha", [0.0, 2.5, 3.0])
def test_equals_the_published_method(times, k, alpha):
    query, gallery = make_features()
    found = expand_queries(query, gallery, times, k, alpha, chunk=7)
    for own, expected in zip(found, naive_as_published(query, gallery, times, k, alpha), strict=True):
        torch.testing.assert_close(own, expected.float(), atol=1e-5, rtol=1e-4)


def test_the_published_method_keeps_the_length_of_features_with_the_euclidean_metric():
    query, gallery = (7 * part for part in make_features(4))
    own, others = expand_queries(query, gallery, k=5, metric="euclidean")
    assert torch.equal(others, gallery)
    scaled, _ = expand_queries(query / 7, gallery / 7, k=5, metric="euclidean")
    torch.testing.assert_close(own, 7 * scaled)
    assert not torch.allclose(own, query)


def test_an_unknown_formula_is_named():
    with pytest.raises(ConfigError, match=r"TEST\.AQE\.FORMULA is 'chum'"):
        expand_queries(*make_features(), formula="chum")


def naive(query, gallery, times, k, alpha):
    features = torch.cat((query, gallery)).double()
    for _ in range(times):
        normalised = features / features.norm(dim=1, keepdim=True)
        new = []
        for own in normalised:
            similarity = normalised @ own
            nearest = similarity.argsort(descending=True)[:k]
            new.append((features[nearest] * similarity[nearest, None] ** alpha).mean(dim=0))
        features = torch.stack(new)
    return features[: len(query)], features[len(query) :]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("k", [1, 5, 39, 40])
@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_equals_a_naive_loop(times, k, alpha):
    query, gallery = make_features()
    for own, expected in zip(
        expand_queries(query, gallery, times, k, alpha, chunk=7, formula="fastreid"),
        naive(query, gallery, times, k, alpha),
        strict=True,
    ):
        torch.testing.assert_close(own, expected.float(), atol=1e-5, rtol=1e-4)


def load_host_function():
    """Load the host's own function, which the patch has replaced in its module."""
    host = importlib.util.find_spec("fastreid")
    if host is None:
        pytest.skip("the host is not installed")
    path = Path(host.submodule_search_locations[0], "evaluation", "query_expansion.py")
    spec = importlib.util.spec_from_file_location("host_query_expansion", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.aqe


@pytest.mark.parametrize("times", [1, 2])
def test_equals_the_host(times):
    query, gallery = make_features(1)
    expected_pair = load_host_function()(query, gallery, times, 5, 3.0)
    for own, expected in zip(
        expand_queries(query, gallery, times, 5, 3.0, formula="fastreid"), expected_pair, strict=True
    ):
        torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-4)


def test_more_neighbours_than_images_are_cut_with_a_warning(host_log):
    query, gallery = make_features(2)
    with host_log.at_level(logging.WARNING):
        own = expand_queries(query, gallery, k=500)
    assert "QE_K is 500" in host_log.text
    assert torch.equal(own[0], expand_queries(query, gallery, k=30)[0])


def test_broken_exponent_gives_no_nan_and_bad_keys_are_named():
    query, gallery = make_features(3)
    assert torch.isfinite(torch.cat(expand_queries(query, gallery, k=40, alpha=2.5))).all()
    with pytest.raises(ConfigError, match="QE_K is 0"):
        expand_queries(query, gallery, k=0)
