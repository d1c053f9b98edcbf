"""Labels in file names: all digits are read, what a dataset does not have is named, junk is counted."""

import shutil

import pytest

from fastreid_projects.data.datasets import build_dataset
from fastreid_projects.errors import DataError
from tests.layouts import LAYOUTS, draw


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    return tmp_path


MARKET, DUKE = "Market-1501-v15.09.15/bounding_box_train", "DukeMTMC-reID/bounding_box_train"
VERI = "VeRi/image_train"
CASES = [
    ("Market1501", MARKET, "0002_c12s1_000012_00.jpg", "camera 12, .* from 1 to 6"),
    ("Market1501", MARKET, "0002_c7s1_000012_00.jpg", "camera 7, .* from 1 to 6"),
    ("Market1501", MARKET, "1600_c2s1_000012_00.jpg", "identity 1600, .* from -1 to 1501"),
    ("Market1501", MARKET, "0002_MOT17-02-FRCNN_000012.jpg", "no identity .* unlike 0002_c1s1_000451_03.jpg"),
    ("Market1501", MARKET, "--_c1s1_000012_00.jpg", "no identity"),
    ("DukeMTMC", DUKE, "0005_c10_f0000012.jpg", "camera 10, .* from 1 to 8"),
    ("DukeMTMC", DUKE, "holiday.jpg", "no identity .* unlike 0001_c2_f0046182.jpg"),
    ("VeRi", VERI, "0005_c0021_00000012_0.jpg", "camera 21, .* from 1 to 20"),
    ("VeRi", VERI, "0777_c001_00000012_0.jpg", "identity 777, .* from -1 to 776"),
    ("cuhkSYSU", "cuhk_sysu/cropped_images", "s5.jpg", "no identity .* unlike p1_s1_1.jpg"),
]


@pytest.mark.parametrize("name, folder, file, words", CASES, ids=[case[2] for case in CASES])
def test_a_file_that_the_dataset_does_not_have(name, folder, file, words, root):
    LAYOUTS[name](root)
    draw(root / folder / file, 1)
    with pytest.raises(DataError, match=rf"{file} has .*{words}.*FolderReID"):
        _ = build_dataset(name).train


def test_two_digits_of_a_camera_that_is_there(root):
    LAYOUTS["VeRi"](root)
    draw(root / VERI / "0005_c015_00000012_0.jpg", 1)
    draw(root / VERI / "0005_c16_00000012_0.jpg", 1)
    assert {"veri_14", "veri_15"} < {item[2] for item in build_dataset("VeRi").train}


def test_suffixes_in_capitals_are_read_and_other_pictures_are_warned_of(root, host_log):
    LAYOUTS["DukeMTMC"](root)
    before = build_dataset("DukeMTMC").train
    path = root / DUKE / "0001_c1_f0000001.jpg"
    path.rename(path.with_suffix(".JPG"))
    assert len(build_dataset("DukeMTMC").train) == len(before)
    assert not host_log.messages
    shutil.copy(path.with_suffix(".JPG"), path.with_suffix(".png"))
    (path.parent / "Thumbs.db").touch()
    for _ in range(2):
        assert len(build_dataset("DukeMTMC").train) == len(before)
    (message,) = host_log.messages
    assert "1 pictures in" in message
    assert message.endswith(f"{path.parent} are not read, as the dataset reads *.jpg: {path.stem}.png")


def test_junk_is_counted(root, command):
    LAYOUTS["Market1501"](root / "data")
    counts = command("Market1501")["counts"]["Market1501"]
    assert (counts["junk"], counts["distractors"], counts["queries"]) == (1, 1, 3)
