"""Attributes of real layouts through the host's datasets, loaders and samplers."""

import numpy as np
import pytest
from fastreid.data import build_reid_train_loader
from scipy.io import savemat

from fastreid_projects.amd.data.attribute_dataset import (
    AttributeDataset,
    attribute_file,
    attribute_set_of,
    item_attributes,
)
from fastreid_projects.amd.data.learnable import TrainingLabels, check_learnable
from fastreid_projects.config import load_config
from fastreid_projects.data.attributes import (
    DEMO,
    DUKEMTMC,
    MARKET1501,
    Attribute,
    AttributeSet,
    in_order_of,
)
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


FULL = np.array([[0] * 26, [1] * 26], dtype=np.int8)


@pytest.mark.parametrize(
    "second, own, error, words",
    [
        ("MSMT17", None, ConfigError, ["MSMT17 lacks 26 of the 26", KEY, "leave MSMT17 out"]),
        (
            "DemoReID",
            DEMO,
            DataError,
            ["identities of DemoReID have no attributes in market_attribute.mat"],
        ),
    ],
)
def test_every_training_set_has_an_image_with_attributes(second, own, error, words):
    first = TrainingLabels("Market1501", MARKET1501, FULL)
    check_learnable([first, first], MARKET1501)
    with pytest.raises(error) as caught:
        check_learnable([first, TrainingLabels(second, own, -np.ones_like(FULL))], MARKET1501)
    for word in words:
        assert word in str(caught.value)


def test_a_second_training_set_may_share_some_attributes(host_log):
    """What it does not have is unknown of its images, and leaves their pairs."""
    part = np.where([name in DUKEMTMC.names for name in MARKET1501.names], FULL, -1).astype(np.int8)
    check_learnable(
        [TrainingLabels("Market1501", MARKET1501, FULL), TrainingLabels("DukeMTMC", DUKEMTMC, part)],
        MARKET1501,
    )
    assert not host_log.records


def test_an_attribute_that_never_changes_is_warned_of_and_one_that_is_never_known_refused(host_log):
    rows = FULL.copy()
    rows[:, MARKET1501.index("hat")] = 1
    check_learnable([TrainingLabels("Market1501", MARKET1501, rows)], MARKET1501)
    assert "the attribute hat is 'hat' in all training images" in host_log.text
    rows[:, MARKET1501.index("hat")] = -1
    with pytest.raises(DataError, match="hat of market1501 is not known for any training image"):
        check_learnable([TrainingLabels("Market1501", MARKET1501, rows)], MARKET1501)


def test_labels_of_another_set_follow_names_and_values():
    sleeves = Attribute("sleeves", "sleeves", ("long", "short"), is_thing=False)
    hat = Attribute("hat", "hat", ("no hat", "hat"), is_thing=True)
    turned = Attribute("sleeves", "sleeves", ("short", "long"), is_thing=False)
    cap = Attribute("hat", "cap", ("bare", "cap"), is_thing=True)
    other = Attribute("shoes", "shoes", ("dark", "light"), is_thing=False)
    own = AttributeSet("own", "", "", (sleeves, hat))
    rows = np.array([[0, 1], [1, -1], [-1, 0]], dtype=np.int8)
    found = in_order_of(rows, own, AttributeSet("wanted", "", "", (other, cap, turned)))
    assert found.tolist() == [[-1, 1, 1], [-1, -1, 0], [-1, 0, -1]]
    strange = Attribute("sleeves", "sleeves", ("none", "long"), is_thing=False)
    with pytest.raises(DataError, match="'sleeves' is none or long in wanted, but long or short in own"):
        in_order_of(rows, own, AttributeSet("wanted", "", "", (strange,)))
