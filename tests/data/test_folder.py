"""Own pictures: a table or folders, what is wrong in them, and training on them."""

import shutil

import pytest

from fastreid_projects.data import folder as own
from fastreid_projects.data.datasets import subset
from fastreid_projects.engine.main import main
from fastreid_projects.errors import DataError
from tests.conftest import write_market

HEAD = "path,pid,camid,split,colour\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Folders of people, made of a tiny Market-1501."""
    market = write_market(tmp_path / "m")
    root = tmp_path / "data" / "FolderReID"
    for part, split in (
        ("bounding_box_train", "train"),
        ("query", "query"),
        ("bounding_box_test", "gallery"),
    ):
        for path in sorted((market / part).glob("*.jpg")):
            target = root / split / f"anna {path.name[:4]}" / path.name[5:]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    monkeypatch.setenv("FASTREID_DATASETS", str(root.parent))
    return root


def write_table(folder, change=lambda lines: lines):
    """The same as a table."""
    entries = own.read_entries(folder)
    lines = [f"{e.path[len(str(folder)) + 1 :]},{e.pid},{e.camid},{e.split},red" for e in entries]
    (folder / own.TABLE).write_text(HEAD + "\n".join(change(lines)) + "\n", encoding="utf-8")


def check(folder, capsys, *options):
    code = own.main([str(folder), *options])
    printed = capsys.readouterr()
    return code, (printed.err.strip().splitlines() or [""])[-1], printed.out


def test_folders_and_table_are_the_same(folder, capsys):
    items = own.numbered(own.read_entries(folder))
    assert {split: len(found) for split, found in items.items()} == {"train": 16, "query": 2, "gallery": 6}
    assert {item[2] for item in items["gallery"]} == {1, 2}
    assert items["train"][0][1:] == ("FolderReID_0", "FolderReID_1")
    write_table(folder)
    assert own.numbered(own.read_entries(folder)) == items
    code, _, out = check(folder, capsys)
    assert code == 0
    assert "train: 16 pictures of 4 people by 2 cameras" in out


def test_people_of_both_sides_are_warned_of_once(folder, capsys, caplog):
    assert "warning" not in check(folder, capsys)[2]
    shutil.copytree(folder / "query" / "anna 0006", folder / "train" / "anna 0006")
    code, _, out = check(folder, capsys)
    assert code == 0
    assert "warning: 1 people of the split train are in query or gallery, too (anna 0006)" in out
    data = own.FolderReID(str(folder.parent))
    data.show_train()
    data.show_test()
    assert len([record for record in caplog.records if "(anna 0006)" in record.message]) == 1


def test_the_query_is_named_by_its_file_where_the_gallery_does_not_have_it(folder, capsys):
    for path in list((folder / "query").iterdir()):
        path.rename(path.with_name(f"dora {path.name}"))
    code, last, _ = check(folder, capsys)
    assert code == 2
    assert "query/dora anna 0006/c1" in last


def test_no_gallery_is_said_as_it_is(folder, capsys):
    shutil.rmtree(folder / "gallery")
    with pytest.raises(DataError, match=r"no gallery images: .*FolderReID names or holds none; add"):
        subset(own.FolderReID(str(folder.parent)), "FolderReID", "gallery")


def test_a_camera_of_too_many_digits(folder, capsys):
    path = min((folder / "query").glob("*/*.jpg"))
    path.rename(path.with_name(f"c{'1' * 24}.jpg"))
    code, last, _ = check(folder, capsys)
    assert code == 2
    assert "more than 9 digits" in last
    assert own.numbered([own.Entry("a", "1" * 24, "2" * 24, "query", "")])["query"] == [("a", 0, 0)]


def first(text):
    return lambda lines: [text, *lines[1:]]


CASES = [
    (first("nowhere.jpg,1,1,train,red"), "line 2", "nowhere.jpg does not exist"),
    (first(",1,1,train,red"), "line 2", "path is empty"),
    (first("x.jpg,,1,train,red"), "line 2", "pid is empty"),
    (first("x.jpg,1,1"), "line 2", "split is empty"),
    (first("x.jpg,1,1,test,red"), "line 2", "'test' is none of train, query, gallery"),
    (lambda lines: [*lines, lines[0]], "line 26", "stands in line 2 already"),
    (lambda lines: [line for line in lines if ",query," not in line], "FolderReID", "split query"),
    (lambda lines: [], "FolderReID", "split train"),
    (
        lambda lines: [
            line.replace(",1,query", ",2,query").replace(",1,gallery", ",2,gallery") for line in lines
        ],
        "FolderReID",
        "TEST.SAME_CAMERA",
    ),
]


@pytest.mark.parametrize(("change", "where", "words"), CASES, ids=[words for _, _, words in CASES])
def test_the_check_names_the_row(folder, capsys, change, where, words):
    write_table(folder, change)
    code, last, _ = check(folder, capsys)
    assert code == 2
    assert where in last
    assert words in last


def test_a_table_without_a_column_or_of_another_kind(folder, capsys):
    (folder / own.TABLE).write_text("path;pid;camid;split\n")
    assert "has no column 'path'" in check(folder, capsys)[1]
    (folder / own.TABLE).write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in check(folder, capsys)[1]


def test_a_broken_picture_is_named_with_its_row(folder, capsys):
    write_table(folder)
    entry = own.read_entries(folder)[3]
    with open(entry.path, "wb") as file:
        file.write(b"no picture")
    code, last, _ = check(folder, capsys)
    assert code == 2
    assert "line 5" in last
    assert "cannot be read" in last


def test_cameras_by_name_are_all_or_none(folder, capsys):
    path = next((folder / "train").glob("*/*.jpg"))
    path.rename(path.with_name("portrait.jpg"))
    assert "portrait.jpg does not say its camera" in check(folder, capsys)[1]


def test_nothing_there(tmp_path, capsys):
    assert "is not found" in check(tmp_path / "none", capsys)[1]
    assert "holds neither" in check(tmp_path, capsys)[1]


OPTS = ["MODEL.BACKBONE.DEPTH", "18x", "MODEL.BACKBONE.FEAT_DIM", "512", "MODEL.DEVICE", "cpu"]
OPTS += [
    "DATASETS.NAMES",
    "('FolderReID',)",
    "DATASETS.TESTS",
    "('FolderReID',)",
    "DATALOADER.NUM_WORKERS",
    "0",
]
OPTS += ["INPUT.SIZE_TRAIN", "[32, 16]", "INPUT.SIZE_TEST", "[32, 16]", "SOLVER.IMS_PER_BATCH", "8"]
OPTS += ["SOLVER.MAX_EPOCH", "1", "SOLVER.WARMUP_ITERS", "0", "TEST.EVAL_PERIOD", "1"]


def test_a_training_without_camera_ids(folder, tmp_path, capsys):
    """It is refused before the features are computed, unless matches by the same camera count."""
    for number, path in enumerate(sorted(folder.glob("*/*/*.jpg"))):
        path.rename(path.with_name(f"{number}.jpg"))
    opts = [*OPTS, "OUTPUT_DIR", str(tmp_path / "out")]
    assert main(opts) == 2
    printed = capsys.readouterr()
    assert "TEST.SAME_CAMERA True" in printed.err.strip().splitlines()[-1]
    assert "Start inference" not in printed.out
    assert main([*opts, "TEST.SAME_CAMERA", "True"]) == 0
    assert (tmp_path / "out" / "model_final.pth").is_file()
