"""Attributes of real layouts through the host's datasets, loaders and samplers."""

import numpy as np
import pytest
from fastreid.data import build_reid_train_loader
from scipy.io import savemat

from fastreid_projects.amd.data.attribute_dataset import (
    AttributeDataset,
    attribute_file,
    attribute_set_of,
    check_some_complete,
    item_attributes,
)
from fastreid_projects.config import load_config
from fastreid_projects.data.attributes import DUKEMTMC, MARKET1501
from fastreid_projects.data.datasets import build_dataset
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError, DataError
from tests.amd.conftest import INTERPRETER as AMD


def write_mat(path, attribute_set, values, pids):
    """Every field holds ``values`` (raw codes), one for each identity."""
    part = {name: np.array(values) for name in attribute_set.names}
    part["image_index"] = np.array([f"{pid:04d}" for pid in pids], dtype=object)
    savemat(path, {attribute_set.struct: {"train": part, "test": part}})


@pytest.fixture
def market(tiny_market):
    folder = tiny_market(ids=4, test_ids=2)
    write_mat(folder / "market_attribute.mat", MARKET1501, [1, 2, 1, 2, 1], [2, 3, 4, 5, 6])
    return folder


@pytest.fixture
def duke(tiny_market):
    folder = tiny_market(ids=4, test_ids=2)
    folder = folder.rename(folder.parent / "DukeMTMC-reID")
    write_mat(folder / "duke_attribute.mat", DUKEMTMC, [1, 2, 0, 2, 1, 2], [2, 3, 4, 5, 6, 7])
    return folder


def test_rows_follow_their_identities(market):
    data = build_dataset("Market1501")
    rows = item_attributes(data, data.train, MARKET1501)
    for item, row in zip(data.train, rows, strict=True):
        pid = int(item[1].rsplit("_", 1)[1])
        assert set(row.tolist()) == {pid % 2}
    gallery = {
        item[1]: row
        for item, row in zip(data.gallery, item_attributes(data, data.gallery, MARKET1501), strict=True)
    }
    assert set(gallery[6].tolist()) == {0}
    assert set(gallery[7].tolist()) == {-1}, "an identity without a row"


def test_dukemtmc_and_its_unknown_values(duke):
    data = build_dataset("DukeMTMC")
    assert attribute_set_of("DukeMTMC") is DUKEMTMC
    rows = item_attributes(data, data.train, DUKEMTMC)
    by_pid = {item[1]: row for item, row in zip(data.train, rows, strict=True)}
    assert set(by_pid["dukemtmc_4"].tolist()) == {-1}
    assert set(by_pid["dukemtmc_5"].tolist()) == {1}


def test_another_datasets_set_is_matched_by_name(duke):
    data = build_dataset("DukeMTMC")
    rows = item_attributes(data, data.train[-1:], MARKET1501)[0]
    for name, value in zip(MARKET1501.names, rows, strict=True):
        assert (value >= 0) == (name in DUKEMTMC.names), name


def test_beside_the_images_or_in_a_folder(market):
    data = build_dataset("Market1501")
    (market / "attribute").mkdir()
    (market / "market_attribute.mat").rename(market / "attribute" / "market_attribute.mat")
    assert attribute_file(data, MARKET1501).parent.name == "attribute"
    (market / "attribute" / "market_attribute.mat").unlink()
    with pytest.raises(DataError, match=r"market_attribute\.mat"):
        attribute_file(data, MARKET1501)


def test_batches_of_the_hosts_loader_and_sampler(market, tiny_cfg):
    data = build_dataset("Market1501")
    attributes = item_attributes(data, data.train, MARKET1501)
    from fastreid.data.transforms import build_transforms

    cfg = tiny_cfg()
    train_set = AttributeDataset(data.train, attributes, build_transforms(cfg, is_train=True))
    batch = next(iter(build_reid_train_loader(cfg, train_set=train_set)))
    assert batch["attributes"].shape == (8, 26)
    for label, row in zip(batch["targets"], batch["attributes"], strict=True):
        pid = int(train_set.pids[int(label)].rsplit("_", 1)[1])
        assert set(row.tolist()) == {pid % 2}


KEY = "MODEL.AMD.ATTRIBUTES"


def test_another_datasets_set_is_for_tests_alone(market):
    """No image of Market-1501 has all of DukeMTMC's attributes; an evaluation takes those that the two share."""
    cfg = load_config(
        AMD, [KEY, "dukemtmc", "DATASETS.NAMES", "('Market1501',)", "DATALOADER.NUM_WORKERS", "0"]
    )
    with pytest.raises(ConfigError) as caught:
        Trainer.build_train_loader(cfg)
    for words in (
        f"set {KEY} to market1501",
        "Market1501 lacks 5 of the 23 (top, shoes, boots, upbrown, downred)",
    ):
        assert words in str(caught.value)
    loader, _ = Trainer.build_test_loader(cfg, "Market1501")
    shared = [name in MARKET1501.names for name in DUKEMTMC.names]
    assert (loader.dataset.attributes >= 0).any(dim=0).tolist() == shared


@pytest.mark.parametrize(
    "second, rows, error, words",
    [
        (
            "DukeMTMC",
            "part",
            ConfigError,
            ["DukeMTMC lacks 8 of the 26 (hair, up, down, clothes, ", "leave DukeMTMC out of DATASETS.NAMES"],
        ),
        ("MSMT17", "none", ConfigError, ["MSMT17 lacks 26 of the 26", KEY, "leave MSMT17 out"]),
        (
            "DemoReID",
            "none",
            DataError,
            ["identities of DemoReID have no attributes in market_attribute.mat"],
        ),
    ],
)
def test_every_training_set_has_an_image_with_all_attributes(second, rows, error, words):
    full = np.array([[-1] * 26, [1] * 26], dtype=np.int8)
    part = np.where([name in DUKEMTMC.names for name in MARKET1501.names], full, -1)
    names = ("Market1501", second)
    check_some_complete([full, full], names, MARKET1501)
    with pytest.raises(error) as caught:
        check_some_complete([full, part if rows == "part" else -np.ones_like(full)], names, MARKET1501)
    for word in words:
        assert word in str(caught.value)
