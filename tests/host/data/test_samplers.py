"""Samplers refuse what they cannot sample instead of looping forever."""

import itertools
from collections import Counter

import pytest
from fastreid.data.samplers import (
    BalancedIdentitySampler,
    ImbalancedDatasetSampler,
    NaiveIdentitySampler,
    SetReWeightSampler,
    TrainingSampler,
)
from fastreid.utils import comm

from fastreid_projects.errors import ConfigError, DataError

BOTH = pytest.mark.parametrize("sampler", [NaiveIdentitySampler, BalancedIdentitySampler])


def items(ids, cameras=4, fields=3):
    return [("path", f"p{pid}", f"c{cam}", 0)[:fields] for pid in range(ids) for cam in range(cameras)]


def test_the_host_loops_for_ever(unpatched):
    cases = ("few_ids", "odd_batch", "small_batch")
    assert [unpatched[f"naive_{case}"] for case in cases] == ["hangs"] * 3
    assert [unpatched[f"balanced_{case}"] for case in cases[:2]] == ["hangs"] * 2


@BOTH
@pytest.mark.parametrize(("batch", "instances"), [(10, 4), (2, 4), (16, 0)])
def test_a_batch_that_does_not_divide(sampler, batch, instances):
    with pytest.raises(ConfigError, match=rf"not a multiple of DATALOADER\.NUM_INSTANCE {instances}"):
        sampler(items(16), batch, instances)


@BOTH
def test_too_few_identities(sampler):
    with pytest.raises(ConfigError, match=r"needs 4 identities .* has 3: lower SOLVER\.IMS_PER_BATCH"):
        sampler(items(3), 16, 4)


@BOTH
def test_too_few_identities_for_all_processes(sampler, monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    with pytest.raises(ConfigError, match=r"needs 8 identities .* has 6"):
        sampler(items(6), 16, 4)
    assert len(list(itertools.islice(sampler(items(8), 16, 4, seed=0), 16))) == 16


@BOTH
@pytest.mark.parametrize(("ids", "cameras"), [(4, 4), (4, 1), (16, 4), (9, 2)])
def test_batches_of_identities(sampler, ids, cameras):
    data = items(ids, cameras)
    stream = iter(sampler(data, 16, 4, seed=0))
    for _ in range(5):
        pids = Counter(data[next(stream)][1] for _ in range(16))
        assert list(pids.values()) == [4] * 4


@BOTH
def test_items_of_four_fields(sampler, unpatched):
    assert unpatched["balanced_four_fields"].startswith("ValueError")
    assert len(list(itertools.islice(sampler(items(4, fields=4), 16, 4, seed=0), 16))) == 16


@BOTH
def test_the_same_seed_gives_the_same_order(sampler):
    first, second = (list(itertools.islice(sampler(items(8), 16, 4, seed=3), 64)) for _ in range(2))
    assert first == second


def test_nothing_to_sample(unpatched):
    assert unpatched["empty_training"] == "AssertionError: "
    for make in (
        lambda: TrainingSampler(0),
        lambda: ImbalancedDatasetSampler([]),
        lambda: NaiveIdentitySampler([], 16, 4),
        lambda: BalancedIdentitySampler([], 16, 4),
    ):
        with pytest.raises(DataError, match="no images to sample"):
            make()
    assert next(iter(TrainingSampler(1))) == 0
    assert next(iter(ImbalancedDatasetSampler(items(1, 1)))) == 0


def test_the_sampler_that_never_works(unpatched):
    assert unpatched["set_reweight"].startswith(("ValueError", "TypeError", "hangs"))
    with pytest.raises(ConfigError, match=r"FastReID's SetReWeightSampler does not work: let DATALOADER"):
        SetReWeightSampler(items(16), 16, 2, [1, 1, 1, 1])
