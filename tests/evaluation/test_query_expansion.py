"""Query expansion: the host's numbers, and more neighbours than images."""

import importlib.util
import logging
from pathlib import Path

import pytest
import torch

from fastreid_projects.errors import ConfigError
from fastreid_projects.evaluation.query_expansion import expand_queries


def make_features(seed=0, count=40):
    return torch.randn(count, 12, generator=torch.Generator().manual_seed(seed)).split([10, count - 10])


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
        expand_queries(query, gallery, times, k, alpha, chunk=7),
        naive(query, gallery, times, k, alpha),
        strict=True,
    ):
        torch.testing.assert_close(own, expected.float(), atol=1e-5, rtol=1e-4)


def load_host_function():
    """Load the host's own function, which the mend has replaced in its module."""
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
    for own, expected in zip(expand_queries(query, gallery, times, 5, 3.0), expected_pair, strict=True):
        torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-4)


def test_more_neighbours_than_images_are_cut_with_a_warning(caplog):
    query, gallery = make_features(2)
    with caplog.at_level(logging.WARNING):
        own = expand_queries(query, gallery, k=500)
    assert "QE_K is 500" in caplog.text
    assert torch.equal(own[0], expand_queries(query, gallery, k=40)[0])


def test_broken_exponent_gives_no_nan_and_bad_keys_are_named():
    query, gallery = make_features(3)
    assert torch.isfinite(torch.cat(expand_queries(query, gallery, k=40, alpha=2.5))).all()
    with pytest.raises(ConfigError, match="QE_K is 0"):
        expand_queries(query, gallery, k=0)
