"""Own pictures: a table or folders, what is wrong in them or left out, and training on them."""

import json
import shutil

import pytest
from PIL import Image

from fastreid_projects.data import folder as own
from fastreid_projects.data.datasets import build_dataset, subset
from fastreid_projects.data.own.entries import Entry, numbered
from fastreid_projects.engine.main import main
from fastreid_projects.errors import ConfigError, DataError
from tests.conftest import write_market
from tests.layouts import draw

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


def read(folder):
    return numbered(own.read_pictures(folder).entries, "FolderReID")


def rows(folder):
    entries = own.read_pictures(folder).entries
    return [f"{e.path[len(str(folder)) + 1 :]},{e.pid},{e.camid},{e.split},red" for e in entries]


def write_table(folder, change=lambda lines: lines):
    """The same as a table."""
    (folder / own.TABLE).write_text(HEAD + "\n".join(change(rows(folder))) + "\n", encoding="utf-8")


def check(folder, capsys, *options):
    code = own.main([str(folder), *options])
    printed = capsys.readouterr()
    return code, (printed.err.strip().splitlines() or [""])[-1], printed.out


def test_folders_and_table_are_the_same(folder, capsys):
    items = read(folder)
    assert {split: len(found) for split, found in items.items()} == {"train": 16, "query": 2, "gallery": 6}
    assert {item[2] for item in items["gallery"]} == {1, 2}
    assert items["train"][0][1:] == ("FolderReID_0", "FolderReID_1")
    write_table(folder)
    assert read(folder) == items
    code, _, out = check(folder, capsys)
    assert code == 0
    assert "train: 16 pictures of 4 people by 2 cameras" in out
    assert out.splitlines()[-1] == "counted: 2 of 2 queries have a match in the gallery"


def test_a_table_may_be_named_instead_of_its_folder(folder, capsys):
    write_table(folder)
    assert check(folder / own.TABLE, capsys)[::2] == check(folder, capsys)[::2]
    other = (folder / own.TABLE).rename(folder / "table.csv")
    code, error, _ = check(other, capsys)
    assert code == 2
    assert error == f"error: {other} is a file: name the folder that holds labels.csv or the pictures"


def test_a_broken_picture_is_named_once(folder, capsys):
    path = next((folder / "query").glob("*/*.jpg"))
    path.write_bytes(b"")
    code, error, _ = check(folder, capsys)
    assert code == 2
    assert error == f"error: Image {path} cannot be read (the file is empty): replace or remove it."
    shutil.copy(next((folder / "gallery").glob("*/*.jpg")), path)
    shutil.rmtree(folder / "train")
    assert "query: 2 pictures of 2 people by 1 camera\n" in check(folder, capsys)[2]


def test_a_folder_may_be_named_as_below_the_datasets(folder, capsys, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(folder.parent))
    monkeypatch.chdir("/")
    code, _, out = check(folder.name, capsys)
    assert code == 0
    assert out.splitlines()[-1] == "counted: 2 of 2 queries have a match in the gallery"


def test_people_of_both_sides_are_warned_of_once(folder, capsys, caplog):
    assert "warning" not in check(folder, capsys)[2]
    shutil.copytree(folder / "query" / "anna 0006", folder / "train" / "anna 0006")
    code, _, out = check(folder, capsys)
    assert code == 0
    assert "warning: 1 person of the split train is in query or gallery, too (anna 0006)" in out
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
    assert "no pictures of the split gallery: tests need query and gallery" in check(folder, capsys)[1]


def test_a_camera_of_too_many_digits(folder, capsys):
    path = min((folder / "query").glob("*/*.jpg"))
    path.rename(path.with_name(f"c{'1' * 24}.jpg"))
    code, last, _ = check(folder, capsys)
    assert code == 2
    assert "more than 9 digits" in last
    assert numbered([Entry("a", "1" * 24, "2" * 24, "query", "")], "x")["query"] == [("a", 0, 0)]


# What lies in folders


CAMERAS = {
    "c1_0001.jpg": "1",
    "0002_c12s1_000451_00.jpg": "12",
    "0001_c2_f0046182.jpg": "2",
    "C3 left.png": "3",
    "1_cam2_1.jpg": "2",
    "cam_01_x.jpg": "1",
    "Camera-7.jpg": "7",
    "cam03/x.jpg": "3",
    "C1/0002.jpg": "1",
    "camera_4/seq 2/c4_1.jpg": "4",
    "f47ac10b-58cc-4372-a567-0e02b2c3d479.jpg": None,
    "pic5.jpg": None,
    "c1x.jpg": None,
    "seq1/x.jpg": None,
}


@pytest.mark.parametrize("name", CAMERAS)
def test_cameras(name, tmp_path):
    draw(tmp_path / "FolderReID" / "query" / "anna" / name, 1)
    (entry,) = own.read_pictures(tmp_path / "FolderReID").entries
    assert (entry.pid, entry.camid) == ("anna", CAMERAS[name] or "0")


def test_a_folder_and_a_name_of_two_cameras(tmp_path):
    draw(tmp_path / "query" / "anna" / "cam1" / "c2_1.jpg", 1)
    with pytest.raises(DataError, match=r"cam1/c2_1\.jpg names the cameras 1 and 2"):
        own.read_pictures(tmp_path)


def test_cameras_are_all_or_none(folder, capsys):
    path = next((folder / "train").glob("*/*.jpg"))
    path.rename(path.with_name("portrait.jpg"))
    assert "portrait.jpg does not name its camera, but 23 of 24 pictures do" in check(folder, capsys)[1]


def test_every_suffix_that_pillow_reads_is_read(folder):
    for number, suffix in enumerate((".gif", ".ppm", ".tif", ".jfif", ".WEBP", ".jp2")):
        image = Image.new("RGB", (16, 32), (number, 0, 0))
        image.save(folder / "train" / "anna 0002" / f"c1_new{number}{suffix}")
    assert len(read(folder)["train"]) == 16 + 6
    assert own.read_pictures(folder).left_out == []


def test_what_is_left_out_is_counted_and_named(folder, capsys, host_log):
    draw(folder / "train" / "c1_loose.jpg", 1)
    draw(folder / "val" / "bert" / "c1_1.jpg", 1)
    draw(folder / "cover.png", 1)
    draw(folder / "gallery" / "-1" / "c2_1.jpg", 1)
    (folder / "train" / "anna 0002" / "c1_1.txt").touch()
    for name in ("Thumbs.db", ".DS_Store", "._c1_1.jpg"):
        (folder / "train" / "anna 0002" / name).touch()
    (folder / "README.txt").touch()
    code, _, out = check(folder, capsys)
    assert code == 0
    sentences = [
        "1 file is left out: beside the persons' folders (train/c1_loose.jpg)",
        "2 files are left out: in none of the folders train, query, gallery (cover.png, val/bert/c1_1.jpg)",
        "1 file is left out: of the person -1, junk as in Market-1501 (gallery/-1/c2_1.jpg)",
        "1 file is left out: not a picture that Pillow reads (train/anna 0002/c1_1.txt)",
    ]
    warned = [line for line in out.splitlines() if line.startswith("warning: ")]
    assert sorted(warned) == sorted(f"warning: {sentence}" for sentence in sentences)
    build_dataset("FolderReID").show_train()
    warned = [record.message for record in host_log.records if record.levelname == "WARNING"]
    assert sorted(warned) == sorted(f"{folder}: {sentence}" for sentence in sentences)


def test_distractors_and_queries_without_a_match_are_counted(folder, capsys):
    draw(folder / "gallery" / "0000" / "c2_1.jpg", 1)
    draw(folder / "gallery" / "nobody" / "c2_1.jpg", 1)
    draw(folder / "query" / "stranger" / "c1_1.jpg", 1)
    out = check(folder, capsys)[2]
    assert "counted: 2 of 3 queries have a match in the gallery; the others are left out of all scores" in out
    assert "distractors: 2 of 8 gallery pictures" in out
    combined = build_dataset("FolderReID", combineall=True)
    assert len(combined.train) == 16 + 2 + 6 + 2  # not the distractor 0000
    draw(folder / "query" / "0000" / "c1_1.jpg", 1)  # which is a person where a query shows it
    assert len(build_dataset("FolderReID", combineall=True).train) == 16 + 2 + 6 + 4


def test_a_folder_for_tests_alone_and_one_for_training_alone(folder, capsys):
    (folder / "train").rename(folder.parent / "train")
    code, _, out = check(folder, capsys)
    assert code == 0
    assert "no pictures of the split train: only for DATASETS.TESTS" in out
    with pytest.raises(DataError, match="FolderReID has no train images"):
        subset(build_dataset("FolderReID"), "FolderReID", "train")
    shutil.rmtree(folder)
    folder.mkdir()
    (folder.parent / "train").rename(folder / "train")
    code, _, out = check(folder, capsys)
    assert code == 0
    assert "no query and no gallery: only for DATASETS.NAMES" in out


# What stands in a table


def first(text):
    return lambda lines: [text, *lines[1:]]


CASES = [
    (first("nowhere.jpg,1,1,train,red"), "line 2", "nowhere.jpg does not exist"),
    (first(",1,1,train,red"), "line 2", "path is empty"),
    (first("x.jpg,,1,train,red"), "line 2", "pid is empty"),
    (first("x.jpg,1,nan,train,red"), "line 2", "camid is empty"),
    (first("x.jpg,1,1"), "line 2", "split is empty"),
    (first("x.jpg,1,1,test,red"), "line 2", "'test' is not one of train, query, gallery"),
    (lambda lines: [*lines, lines[0]], "line 26", "line 2; remove one"),
    (lambda lines: ["", "", *lines, lines[0]], "line 28", "line 4; remove one"),
    (lambda lines: [line for line in lines if ",query," not in line], "FolderReID", "split query"),
    (lambda lines: [], "FolderReID", "no pictures of the splits"),
    (
        lambda lines: [
            line.replace(",1,query", ",2,query").replace(",1,gallery", ",2,gallery") for line in lines
        ],
        "FolderReID",
        "TEST.SAME_CAMERA",
    ),
    (
        lambda lines: [
            line.replace(",anna 0006,", ",6,") if ",query," in line else line.replace(",anna 0006,", ",006,")
            for line in lines
        ],
        "the person '006'",
        "spell both alike",
    ),
    (
        lambda lines: [*lines[:-1], lines[-1].replace(",2,gallery", ",2.0,gallery")],
        "the camera '2.0'",
        "alike",
    ),
]


@pytest.mark.parametrize(("change", "where", "words"), CASES, ids=[words for _, _, words in CASES])
def test_the_check_names_the_row(folder, capsys, change, where, words):
    write_table(folder, change)
    code, last, _ = check(folder, capsys)
    assert code == 2
    assert where in last
    assert words in last


@pytest.mark.parametrize(
    ("encoding", "change"),
    [
        ("utf-8-sig", lambda text: text.replace("\n", "\r\n")),
        ("utf-8", lambda text: text.replace(",", ";")),
        ("utf-8", lambda text: text.replace(",", "\t")),
        ("utf-16", lambda text: text.replace(",", "\t")),
        ("utf-8", lambda text: text.replace("path,pid,camid,split", "Path, PID ,CamID,Split")),
        ("utf-8", lambda text: text.replace(",train,", ",Train,")),
        ("utf-8", lambda text: "\n \n" + text.replace("\n", "\n\n")),
        ("utf-8", lambda text: "\n".join(line.replace("/", "\\") for line in text.split("\n"))),
    ],
    ids=["bom", "semicolons", "tabs", "utf16", "head", "splits", "blank", "windows"],
)
def test_tables_of_other_programs(folder, encoding, change):
    write_table(folder)
    expected = read(folder)
    text = change((folder / own.TABLE).read_text())
    (folder / own.TABLE).write_bytes(text.encode(encoding))
    assert read(folder) == expected


def test_a_table_without_cameras(folder, capsys):
    write_table(folder)
    lines = [line.split(",") for line in (folder / own.TABLE).read_text().splitlines()]
    (folder / own.TABLE).write_text("\n".join(",".join([p, pid, split]) for p, pid, _, split, _ in lines))
    assert "TEST.SAME_CAMERA True" in check(folder, capsys)[1]
    assert check(folder, capsys, "--same-camera")[0] == 0


def test_a_table_without_a_column_or_of_another_kind(folder, capsys):
    (folder / own.TABLE).write_text("path;pid;camid\n")
    assert "has no column 'split'" in check(folder, capsys)[1]
    for content in (b"\xff\xfe\x00", "path,pid,split\nJos\u00e9.jpg,1,train\n".encode("latin-1")):
        (folder / own.TABLE).write_bytes(content)
        assert "cannot be read as a table in UTF-8" in check(folder, capsys)[1]


def test_a_picture_that_is_query_and_gallery_is_not_its_own_match(folder, capsys):
    """It is left out by its camera, and with TEST.SAME_CAMERA by its path."""
    both = lambda lines: [*lines, *(x.replace(",query,", ",gallery,") for x in lines if ",query," in x)]  # noqa: E731
    write_table(folder, both)
    assert "counted: 2 of 2 queries" in check(folder, capsys)[2]
    write_table(folder, lambda lines: both([line for line in lines if ",gallery," not in line]))
    assert "cannot be evaluated" in check(folder, capsys)[1]
    assert "is the query itself" in check(folder, capsys, "--same-camera")[1]
    write_table(
        folder, lambda lines: both([line.replace(",1,query", ",5,query") for line in lines])[:-1] + lines[-1:]
    )
    assert "is already in" in check(folder, capsys)[1]


def test_a_broken_picture_is_named_with_its_row(folder, capsys):
    write_table(folder)
    entry = own.read_pictures(folder).entries[3]
    with open(entry.path, "wb") as file:
        file.write(b"no picture")
    code, last, _ = check(folder, capsys)
    assert code == 2
    assert "line 5" in last
    assert "cannot be read" in last


def test_nothing_there(tmp_path, capsys):
    assert "is not found" in check(tmp_path / "none", capsys)[1]
    (tmp_path / "Train").mkdir()
    assert (
        "holds neither labels.csv nor one of the folders train, query, gallery, but Train"
        in check(tmp_path, capsys)[1]
    )


# Training


OPTS = ["MODEL.BACKBONE.DEPTH", "18x", "MODEL.BACKBONE.FEAT_DIM", "512", "MODEL.DEVICE", "cpu"]
OPTS += ["DATALOADER.NUM_WORKERS", "0"]
OPTS += ["INPUT.SIZE_TRAIN", "[32, 16]", "INPUT.SIZE_TEST", "[32, 16]", "SOLVER.IMS_PER_BATCH", "8"]
OPTS += ["SOLVER.MAX_EPOCH", "1", "SOLVER.WARMUP_ITERS", "0", "TEST.EVAL_PERIOD", "1"]
OWN = ["DATASETS.NAMES", "('FolderReID',)", "DATASETS.TESTS", "('FolderReID',)"]


def test_a_training_without_camera_ids(folder, tmp_path, capsys):
    """It is refused before the features are computed, unless matches by the same camera count."""
    for number, path in enumerate(sorted(folder.glob("*/*/*.jpg"))):
        path.rename(path.with_name(f"{number}.jpg"))
    opts = [*OPTS, *OWN, "OUTPUT_DIR", str(tmp_path / "out")]
    assert main(opts) == 2
    printed = capsys.readouterr()
    assert "TEST.SAME_CAMERA True" in printed.err.strip().splitlines()[-1]
    assert "Start inference" not in printed.out
    assert main([*opts, "TEST.SAME_CAMERA", "True"]) == 0
    assert (tmp_path / "out" / "model_final.pth").is_file()


def test_several_own_datasets_at_once(folder, tmp_path, monkeypatch, capsys):
    """Below FASTREID_DATASETS by name, and anywhere by a path."""
    shop, street = folder.parent / "shop", tmp_path / "street"
    shutil.copytree(folder, shop)
    shutil.copytree(folder, street)
    draw(street / "gallery" / "nobody" / "c2_1.jpg", 1)
    draw(street / "gallery" / "-1" / "c2_1.jpg", 1)
    monkeypatch.chdir(tmp_path)
    names = ("FolderReID", "FolderReID:shop", "./street")
    opts = [*OPTS, "DATASETS.NAMES", str(names), "DATASETS.TESTS", str(names[1:]), "OUTPUT_DIR", "out"]
    assert main(opts) == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert "NUM_CLASSES: 12" in record["config"] or "NUM_CLASSES: 0" in record["config"]
    assert list(record["metrics"]) == list(names[1:])
    counts = record["counts"]["./street"]
    kinds = ("queries", "counted", "gallery", "distractors", "junk", "draws")
    assert [counts[kind] for kind in kinds] == [2, 2, 7, 1, 1, 1]
    assert "Loaded FolderReID:shop" in capsys.readouterr().out
    train = [item[1] for name in names for item in build_dataset(name).train]
    assert len(set(train)) == 12
    with pytest.raises(DataError, match=rf"{folder.parent}/shoppe is not found: .* holds shop, FolderReID"):
        build_dataset("FolderReID:shoppe")
    with pytest.raises(ConfigError, match="Dataset 'shop' is not known"):
        build_dataset("shop")
