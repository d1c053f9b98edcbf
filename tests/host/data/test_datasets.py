"""Datasets: labels come from file names, files in the order of their names, and what is missing is named."""

import warnings
from pathlib import Path

import pytest
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset

from fastreid_projects.data.datasets import build_dataset, dataset_root, subset
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.host.data.datasets.listing import sorted_glob

DUKE = [f"DukeMTMC-reID/{part}" for part in ("bounding_box_train", "query", "bounding_box_test")]


def market(root: Path):
    return DATASET_REGISTRY.get("Market1501")(root=str(root))


def test_the_folders_name_is_no_label(unpatched, tmp_path, market_writer):
    assert unpatched["pattern_in_path"] == ["market1501_2"]
    root = tmp_path / "run2_c3"
    market_writer(root)
    data = market(root)
    assert {pid for _, pid, _ in data.train} == {f"market1501_{pid}" for pid in (2, 3, 4, 5)}
    assert {camid for _, _, camid in data.train} == {"market1501_0", "market1501_1"}
    assert {pid for _, pid, _ in data.query} == {6, 7}
    assert all(Path(path).is_file() for path, *_ in data.train + data.query + data.gallery)


def test_files_come_in_the_order_of_their_names(tmp_path, market_writer, monkeypatch):
    folder = market_writer(tmp_path)
    import os

    listed = os.listdir(folder / "bounding_box_train")
    monkeypatch.setattr(os, "listdir", lambda _: sorted(listed, reverse=True))
    paths = [path for path, *_ in market(tmp_path).train]
    assert paths == sorted(paths)
    assert len(paths) == 16


@pytest.mark.parametrize(
    ("name", "folders", "file", "pid"),
    [
        ("DukeMTMC", DUKE, "0005_c2_f1.jpg", "5"),
        ("VeRi", ["veri/image_train", "veri/image_query", "veri/image_test"], "0005_c002_00001_0.jpg", "5"),
        ("cuhkSYSU", ["cuhk_sysu/cropped_images"], "p5_s2_1.jpg", "5"),
    ],
)  # fmt: skip
def test_the_other_datasets_with_a_pattern(name, folders, file, pid, tmp_path):
    root = tmp_path / "p7_s7_0007_c007_c7"
    for folder in folders:
        (root / folder).mkdir(parents=True)
        (root / folder / file).touch()
    ((path, found, _),) = DATASET_REGISTRY.get(name)(root=str(root)).train
    assert found.endswith(f"_{pid}")
    assert Path(path).is_file()


@pytest.mark.parametrize("folder", ["veri", "VeRi"])
def test_veri_by_either_spelling(folder, tmp_path):
    for part in ("image_train", "image_query", "image_test"):
        (tmp_path / folder / part).mkdir(parents=True)
        (tmp_path / folder / part / "0005_c002_00001_0.jpg").touch()
    data = DATASET_REGISTRY.get("VeRi")(root=str(tmp_path))
    assert all(Path(path).is_file() for path, *_ in data.train + data.query + data.gallery)


@pytest.mark.parametrize("folder", ["vehicleid", "VehicleID"])
@pytest.mark.parametrize(
    ("name", "identities"),
    [("VehicleID", 13164), ("SmallVehicleID", 800), ("MediumVehicleID", 1600), ("LargeVehicleID", 2400)],
)
def test_vehicleid_by_either_spelling(name, identities, folder, tmp_path):
    lists = tmp_path / folder / "train_test_split"
    lists.mkdir(parents=True)
    (tmp_path / folder / "image").mkdir()
    for file in ("train_list.txt", f"test_list_{identities}.txt"):
        (lists / file).write_text("0000001 7\n0000002 7\n")
    data = DATASET_REGISTRY.get(name)(root=str(tmp_path))
    assert len(data.train) == 2
    assert (len(data.query), len(data.gallery)) == (1, 1)


def test_a_vehicle_set_that_is_nowhere_is_named_as_the_host_spells_it(tmp_path):
    with pytest.raises(DataError, match=r"veri is not found"):
        DATASET_REGISTRY.get("VeRi")(root=str(tmp_path))


def test_glob(tmp_path):
    folder = tmp_path / "[new]"
    folder.mkdir()
    for name in ("b.jpg", "a.jpg", "c.png", ".hidden.jpg"):
        (folder / name).touch()
    assert sorted_glob(str(folder / "*.jpg")) == [str(folder / "a.jpg"), str(folder / "b.jpg")]
    assert sorted_glob(str(tmp_path / "nowhere" / "*.jpg")) == []
    assert sorted_glob(str(tmp_path / "?new?" / "*.png")) == [str(folder / "c.png")]


def test_a_file_without_labels_in_its_name(tmp_path, market_writer):
    folder = market_writer(tmp_path)
    (folder / "query" / "holiday.jpg").touch()
    with pytest.raises(DataError, match=r"holiday\.jpg has no identity and camera in its name"):
        _ = market(tmp_path).query


def test_labels_that_the_dataset_does_not_have(tmp_path, market_writer):
    folder = market_writer(tmp_path)
    (folder / "query" / "0006_c9s1_000001_00.jpg").touch()
    with pytest.raises(DataError, match=r"0006_c9s1_000001_00\.jpg has the camera 9, .* from 1 to 6"):
        _ = market(tmp_path).query


def test_a_missing_market_is_not_called_deprecated(unpatched, tmp_path):
    assert unpatched["missing_market"] == ["The current data structure is deprecated"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"Market-1501-v15\.09\.15 is not found: .*FASTREID_DATASETS"):
            market(tmp_path)


def test_the_old_folders_of_market_still_work(tmp_path, market_writer):
    folder = market_writer(tmp_path)
    with pytest.warns(UserWarning, match="deprecated"):
        assert len(market(folder).train) == 16


HOSTS = sorted(
    name for name, kind in DATASET_REGISTRY._obj_map.items() if kind.__module__.startswith("fastreid.data")
)


@pytest.mark.parametrize("name", HOSTS)
def test_a_missing_dataset_is_named(name, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    with pytest.raises(DataError, match="is not found") as caught:
        subset(build_dataset(name), name, "train")
    assert str(tmp_path) in str(caught.value)
    assert "FASTREID_DATASETS" in str(caught.value)


def test_an_unknown_dataset():
    with pytest.raises(ConfigError, match=r"Dataset 'Market' is not known, did you mean 'Market1501'\?"):
        build_dataset("Market")


def test_the_root_is_read_when_it_is_needed(unpatched, monkeypatch, tmp_path):
    assert unpatched["root_read_at_import"] is True
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "one"))
    assert dataset_root() == str(tmp_path / "one")
    monkeypatch.setenv("FASTREID_DATASETS", "~/two")
    assert dataset_root().endswith("/two")
    assert "~" not in dataset_root()


def test_an_empty_part_is_named(tmp_path, market_writer):
    folder = market_writer(tmp_path, test_ids=0)
    with pytest.raises(DataError, match=rf"Market1501 has no query images: {folder / 'query'}"):
        subset(market(tmp_path), "Market1501", "query")


def test_items_of_more_fields_are_combined(unpatched):
    assert unpatched["combine_four_fields"].startswith("ValueError")
    data = ImageDataset([("a", "x_1", "x_1", 7)], [("b", 2, 3, 8)], [("c", -5, 4, 9)], combineall=True)
    assert data.train == [("a", "x_1", "x_1", 7), ("b", "Unknown_test_2", "Unknown_test_3", 8), ("c", "Unknown_test_-5", "Unknown_test_4", 9)]  # fmt: skip  # noqa: E501
