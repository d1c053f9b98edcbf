"""CUHK03: the published .mat files, a folder that was moved, detected boxes, and the folders of cuhk03-np."""

import multiprocessing
import shutil

import numpy as np
import pytest
from PIL import Image

from fastreid_projects.data.datasets import build_dataset
from fastreid_projects.errors import DataError
from fastreid_projects.plugins import get_cfg
from tests.layouts import cuhk03, three_folders

get_cfg()  # registers ours


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    return tmp_path


def parts(data):
    return [data.train, data.query, data.gallery]


@pytest.mark.parametrize("name, kind", [("CUHK03", "labeled"), ("CUHK03Detected", "detected")])
def test_the_published_files(root, name, kind):
    cuhk03(root)
    data = build_dataset(name)
    assert [len(part) for part in parts(data)] == [16, 8, 8]
    assert all(f"images_{kind}" in item[0] for part in parts(data) for item in part)
    assert {item[1] for item in data.query} == {5, 6, 7, 8}
    assert data.train[0][1:] == ("cuhk03_0", "cuhk03_0")
    with Image.open(data.query[0][0]) as image:
        assert image.size == (16, 32)


def test_the_classic_split(root):
    cuhk03(root)
    data = build_dataset("CUHK03", cuhk03_classic_split=True)
    assert len({item[1] for item in data.train}) == 6
    assert len(data.query) == len(data.gallery) == 8


def test_a_folder_that_was_moved(root, monkeypatch):
    cuhk03(root / "one")
    monkeypatch.setenv("FASTREID_DATASETS", str(root / "one"))
    before = build_dataset("CUHK03", combineall=True)
    (root / "one").rename(root / "two")
    monkeypatch.setenv("FASTREID_DATASETS", str(root / "two"))
    after = build_dataset("CUHK03", combineall=True)
    for old, new in zip(parts(before), parts(after), strict=True):
        assert [(path.replace("/one/", "/two/"), *labels) for path, *labels in old] == new


def test_a_split_file_that_is_not_complete_is_named(root):
    cuhk03(root)
    build_dataset("CUHK03")
    path = root / "cuhk03" / "splits_new_labeled.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(
        DataError, match=r"is incomplete .*: delete splits_classic_detected\.json, .*labeled\.json"
    ):
        build_dataset("CUHK03")
    path.unlink()
    assert len(build_dataset("CUHK03").train) == 16


def test_an_unpacking_that_was_killed_is_done_again(root):
    cuhk03(root)
    folder = root / "cuhk03" / "images_labeled"
    folder.mkdir()
    (folder / "1_001_1_01.png").write_bytes(b"\x89PNG half")
    with Image.open(build_dataset("CUHK03").train[0][0]) as image:
        assert np.asarray(image).shape == (32, 16, 3)


def test_files_that_are_no_mat(root):
    cuhk03(root)
    path = root / "cuhk03" / "cuhk03_release" / "cuhk-03.mat"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(
        DataError, match=rf"^CUHK03 cannot be unpacked from {path} into .* those of its publishers"
    ):
        build_dataset("CUHK03")


def _open(root, queue):
    import os

    os.environ["FASTREID_DATASETS"] = root
    queue.put([len(part) for part in parts(build_dataset("CUHK03"))])


def test_several_processes_unpack_once(root):
    cuhk03(root)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_open, args=(str(root), queue)) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=900) for _ in workers] == [[16, 8, 8]] * 3
    for worker in workers:
        worker.join(300)


@pytest.mark.parametrize("folder", ["cuhk03-np", "CUHK03-NP"])
def test_the_folders_of_the_new_protocol(root, folder, host_log):
    host_log.set_level("INFO", "fastreid")
    for kind in ("labeled", "detected"):
        three_folders(root / folder / kind, "{pid:04d}_c{cam}_{n}.png")
    data, detected = build_dataset("CUHK03"), build_dataset("CUHK03Detected")
    assert [len(part) for part in parts(data)] == [16, 3, 9]
    assert data.train[0][1:] == ("cuhk03_1", "cuhk03_0")
    assert {item[2] for item in data.gallery} == {0, 1}
    assert all("/detected/" in item[0] for part in parts(detected) for item in part)
    assert any(f"{folder}/labeled" in message for message in host_log.messages)
    shutil.copy(data.train[0][0], root / folder / "labeled" / "query" / "holiday.png")
    with pytest.raises(DataError, match=r"holiday\.png is not named like 0001_c1_1\.png"):
        build_dataset("CUHK03")
    shutil.rmtree(root / folder / "labeled" / "query")
    with pytest.raises(
        DataError, match=r"labeled/query is not found: .*labeled holds bounding_box_test, bounding"
    ):
        build_dataset("CUHK03")


def test_neither_is_there(root):
    (root / "cuhk_03").mkdir()
    with pytest.raises(DataError, match=r"neither .*cuhk03 nor cuhk03-np is not found: .* holds cuhk_03"):
        build_dataset("CUHK03")
