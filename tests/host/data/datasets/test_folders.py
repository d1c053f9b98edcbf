"""An error for a missing file says what the folder holds; of two versions, the log says which is read."""

import shutil

import pytest
from fastreid.data.datasets import DATASET_REGISTRY

from fastreid_projects.data.datasets import build_dataset, not_found, subset
from fastreid_projects.errors import DataError
from tests.layouts import LAYOUTS, TRAIN_ONLY, msmt17


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    return tmp_path


def test_what_lies_there_is_named_what_is_alike_first(tmp_path):
    for name in ("a", "b", "c", "d", "e", "Market1501", ".cache"):
        (tmp_path / name).mkdir()
    sentence = str(not_found(str(tmp_path / "Market-1501-v15.09.15")))
    assert f"Market-1501-v15.09.15 is not found: {tmp_path} holds Market1501, a, b, c, d, ...; " in sentence
    sentence = str(not_found(str(tmp_path / "x" / "y" / "z")))
    assert f"z is not found: there is no folder {tmp_path}/x; " in sentence
    assert f"{tmp_path}/a holds nothing" in str(not_found(str(tmp_path / "a" / "query")))


def test_msmt17_under_another_name(root):
    (root / "MSMT17").mkdir()
    with pytest.raises(
        DataError, match=r"neither .*MSMT17_V1 nor MSMT17_V2 is not found: .* holds MSMT17; set"
    ):
        build_dataset("MSMT17")


def test_both_versions_of_msmt17(root, host_log):
    msmt17(root, "MSMT17_V2", "mask_train_v2", "mask_test_v2")
    assert "MSMT17_V2" in build_dataset("MSMT17").train[0][0]
    assert not host_log.messages
    msmt17(root)
    assert "MSMT17_V1" in build_dataset("MSMT17").train[0][0]
    assert any("MSMT17_V2 is beside it and is not read" in message for message in host_log.messages)


def test_the_suffixes_that_are_there_are_said(root):
    LAYOUTS["DukeMTMC"](root)
    for path in (root / "DukeMTMC-reID" / "query").glob("*.jpg"):
        path.rename(path.with_suffix(".png"))
    with pytest.raises(DataError, match=r"no query images: .*query .* reads \(it has 3 \.png\)"):
        subset(build_dataset("DukeMTMC"), "DukeMTMC", "query")


@pytest.mark.parametrize("name", TRAIN_ONLY)
def test_sets_for_training_alone_say_so(name, root):
    LAYOUTS[name](root)
    with pytest.raises(DataError, match=rf"{name} has no gallery images: .* for training only"):
        subset(build_dataset(name), name, "gallery")


# dataset -> an image that is named otherwise
STRANGE = {
    "GRID": "underground_reid/images/holiday.jpeg",
    "PKU": "PKUv1a_128x48/holiday.png",
    "PRAI": "PRAI-1581/images/holiday.jpg",
    "PRID": "prid_2011/slim_train/person/holiday.png",
    "SAIVT": "SAIVT-SoftBio/cropped_images/001/holiday.jpeg",
    "SenseReID": "SenseReID/test_prob/holiday.jpg",
    "Shinpuhkan": "shinpuhkan/001/holiday.jpg",
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_image_is_named(name, root):
    LAYOUTS[name](root)
    path = root / STRANGE[name]
    path.parent.mkdir(exist_ok=True)
    shutil.copy(build_dataset(name).train[0][0], path)
    with pytest.raises(DataError, match=rf"{path} is not named as {name} names its images"):
        build_dataset(name)


@pytest.mark.parametrize("folder", ["pep_256x128/data_slim/scen1", "SYSU-MM01/cam1"])
def test_a_file_among_folders(folder, root):
    name = "LPW" if "pep" in folder else "SYSU_mm"
    LAYOUTS[name](root)
    before = build_dataset(name).train
    (root / folder / ".DS_Store").touch()
    assert build_dataset(name).train == before
    (root / folder / "readme").touch()
    if name == "LPW":  # its cameras are listed; SYSU-MM01's persons are looked into
        with pytest.raises(DataError, match=r"readme is a file where LPW has folders"):
            build_dataset(name)
    else:
        assert DATASET_REGISTRY.get(name)(root=str(root)).train == before
