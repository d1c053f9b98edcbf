"""Attributes of real layouts through the host's datasets, loaders and samplers."""

import numpy as np
import pytest
from fastreid.data import build_reid_train_loader
from scipy.io import savemat

from fastreid_projects.data.attribute_dataset import (
    AttributeDataset,
    attribute_file,
    attribute_set_of,
    item_attributes,
)
from fastreid_projects.data.attributes import DUKEMTMC, MARKET1501
from fastreid_projects.errors import DataError
from fastreid_projects.host.datasets import build_dataset


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
