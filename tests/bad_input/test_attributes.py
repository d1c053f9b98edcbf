"""Attribute files (.mat): what differs from the published ones without a loss is read, the rest is refused."""

import numpy as np
import pytest
from scipy.io import savemat

from fastreid_projects.data.attributes import MARKET1501


def field(split="train", **fields):
    def change(content):
        content[split].update(fields)

    return change


def without(name, split="train"):
    def change(content):
        content[split] = {k: v for k, v in content[split].items() if k != name}

    return change


def without_split(split):
    def change(content):
        del content[split]

    return change


def reordered(content):
    content["train"] = dict(reversed(content["train"].items()))


def ages(content):
    for split in ("train", "test"):
        content[split]["age"] = np.ones(6)


def numbers_for_identities(content):
    for split in ("train", "test"):
        content[split]["image_index"] = np.arange(2, 8)


def columns(content):
    for split in ("train", "test"):
        content[split] = {k: np.asarray(v).reshape(-1, 1) for k, v in content[split].items()}


def unknown_value(content):
    for split in ("train", "test"):
        content[split]["hat"] = np.array([0, 1, 2, 1, 1, 1])


def fewer_identities(content):
    content["test"] = content["train"] = {k: v[:3] for k, v in content["train"].items()}


def nobody(content):
    content["test"] = content["train"] = {
        **content["train"],
        "image_index": np.array([f"{pid:04d}" for pid in range(900, 906)], dtype=object),
    }


def doubled(content):
    content["train"] = {k: np.concatenate([v, v[:1]]) for k, v in content["train"].items()}


def contradiction(content):
    doubled(content)
    content["train"]["hat"][-1] = 3 - content["train"]["hat"][0]


def coded_from_zero(content):
    for split in ("train", "test"):
        codes = {k: v - 1 for k, v in content[split].items() if k != "image_index"}
        content[split] = {**content[split], **codes}


PIDS = np.array(["2", "3", "x", "5", "6", "7"], dtype=object)
REFUSED = [
    (without("hat"), "hat train"),
    (without("upblack", "test"), "upblack test"),
    (without("image_index"), "image_index train"),
    (without_split("train"), "train"),
    (without_split("test"), "test"),
    (field(hat=np.full(6, 3)), "hat 3 only"),
    (field(hat=np.full(6, -1)), "hat -1 only"),
    (field(hat=np.full(6, 1.5)), "hat 1.5"),
    (field(hat=np.full(6, np.nan)), "hat nan"),
    (field(hat=np.array(["yes"] * 6, dtype=object)), "hat yes"),
    (field(hat=np.array(["1"] * 6, dtype=object)), "hat '1'; only"),
    (coded_from_zero, "train coded 0/1?"),
    (field(hat=np.ones(5)), "hat 5 values 6"),
    (field(hat=np.ones((6, 2))), "hat 12 values 6"),
    (field(image_index=PIDS), "identity x number"),
    (field(image_index=np.array([2, 3, 4.5, 5, 6, 7])), "identity 4.5"),
    (contradiction, "identity 2 different"),
    (nobody, "identit no"),
]
WORKS = [reordered, ages, numbers_for_identities, columns, unknown_value, fewer_identities, doubled]


@pytest.fixture
def amd(bench):
    """Train an interpreter; it asks for its labels before its target."""
    weights = ("MODEL.AMD.TARGET.CONFIG", bench.config, "MODEL.AMD.TARGET.WEIGHTS", "none.pth")
    return lambda: bench.train(
        "MODEL.META_ARCHITECTURE", "AMD", "MODEL.LOSSES.NAME", "('MetricDistillationLoss',)", *weights
    )


@pytest.mark.parametrize(("change", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_a_file_that_is_wrong(bench, refused, amd, change, words):
    bench.attributes(change)
    refused(amd(), MARKET1501.file_name, *words.split())


@pytest.mark.parametrize("change", WORKS, ids=[change.__name__ for change in WORKS])
def test_a_file_that_is_only_different(bench, refused, amd, change):
    """It is read: the next error is the missing target."""
    bench.attributes(change)
    refused(amd(), "MODEL.AMD.TARGET.WEIGHTS", "none.pth")


FILES = {
    "empty": (b"", "MATLAB"),
    "words": (b"gender 1 2", "MATLAB"),
    "html": (b"<!DOCTYPE html>", "MATLAB"),
    "hdf5": (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF", "7.3"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_mat(bench, refused, amd, kind):
    content, word = FILES[kind]
    (bench.market / MARKET1501.file_name).write_bytes(content)
    refused(amd(), MARKET1501.file_name, word)


def test_a_mat_of_something_else(bench, refused, amd):
    savemat(bench.market / MARKET1501.file_name, {"duke_attribute": {"train": 1}})
    refused(amd(), MARKET1501.file_name, "duke_attribute", "market_attribute")
    savemat(bench.market / MARKET1501.file_name, {"market_attribute": 3})
    refused(amd(), MARKET1501.file_name, "train")


def test_half_a_mat(bench, refused, amd):
    bench.attributes()
    path = bench.market / MARKET1501.file_name
    path.write_bytes(path.read_bytes()[:300])
    refused(amd(), MARKET1501.file_name, "cannot be read")


def test_no_file(refused, amd):
    refused(amd(), MARKET1501.file_name, "does not exist", "put it beside")
