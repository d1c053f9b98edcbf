"""Batches with a fixed share for each training set, in one process and in several."""

import itertools
from collections import Counter

import pytest
from fastreid.utils import comm

from fastreid_projects.data.set_sampler import SetSampler, sets_of
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.plugins import get_cfg
from tests.layouts import duke, market

get_cfg()  # registers ours
# A large set of many images, and a small one whose identities have a single one.
ITEMS = [("a", f"market1501_{n % 40}", "c") for n in range(400)] + [
    ("b", f"dukemtmc_{n}", "c") for n in range(5)
]
SETS = [0] * 400 + [1] * 5


def batches(count, size, **kwargs):
    stream = iter(SetSampler(ITEMS, SETS, size, 2, seed=5, **kwargs))
    return [[next(stream) for _ in range(size)] for _ in range(count)]


@pytest.mark.parametrize(
    ("weights", "shares"), [([], (4, 4)), ([1, 1], (4, 4)), ([3, 1], (6, 2)), ([1, 3], (2, 6))]
)
def test_every_batch_has_the_shares_and_pairs_of_an_identity(weights, shares):
    for batch in batches(20, 8, weights=weights):
        counts = Counter(SETS[index] for index in batch)
        assert (counts[0], counts[1]) == shares
        assert set(Counter(ITEMS[index][1] for index in batch).values()) == {2}


def test_all_identities_have_their_turn():
    seen = Counter(ITEMS[index][1] for batch in batches(20, 8) for index in batch[::2])
    assert len([name for name in seen if name.startswith("market")]) == 40
    assert {seen[f"market1501_{n}"] for n in range(40)} == {1}
    drawn = {index for batch in batches(200, 8) for index in batch}
    assert drawn == set(range(405))


def test_processes_draw_what_one_of_all_draws(monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    shards = []
    for rank in (0, 1):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        shards.append(batches(6, 8))
    monkeypatch.setattr(comm, "get_world_size", lambda: 1)
    monkeypatch.setattr(comm, "get_rank", lambda: 0)
    assert list(itertools.chain.from_iterable(zip(*shards, strict=True))) == batches(12, 8)


def test_what_cannot_be_shared():
    with pytest.raises(
        ConfigError, match=r"batch of 8 images .* DATALOADER\.SET_WEIGHT \[2, 1\]: .* multiple of 3"
    ):
        batches(1, 8, weights=[2, 1])
    with pytest.raises(
        ConfigError, match="holds 6 identities of the training set number 2, but it only has 5"
    ):
        batches(1, 24)


def test_the_set_of_an_item():
    items = [("a", "demo_test_3"), ("b", "demob_3"), ("c", "msmt17_3")]
    assert sets_of(items, ("DemoReIDB", "MSMT17", "DemoReID")) == [2, 0, 1]
    with pytest.raises(ConfigError, match="have the same ones: leave one of them out"):
        sets_of(items, ("VehicleID", "SmallVehicleID"))
    with pytest.raises(DataError, match=r"c belongs to none of DATASETS\.NAMES \(DemoReID, DemoReIDB\)"):
        sets_of(items, ("DemoReID", "DemoReIDB"))


def test_a_training_on_two_sets(tmp_path, monkeypatch, tiny_cfg, storage):
    from fastreid.data import build_reid_train_loader

    market(tmp_path)
    duke(tmp_path)
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    cfg = tiny_cfg("DATASETS.NAMES", ("Market1501", "DukeMTMC"), "DATALOADER.SET_WEIGHT", [3, 1])
    cfg.merge_from_list(["DATALOADER.SAMPLER_TRAIN", "SetReWeightSampler", "DATALOADER.NUM_INSTANCE", 2])
    loader = build_reid_train_loader(cfg)
    for batch in itertools.islice(iter(loader), 5):
        assert sum("Market" in path for path in batch["img_paths"]) == 6
