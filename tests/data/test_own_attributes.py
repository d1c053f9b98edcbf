"""Own attributes: the words, the tables, every mistake with its file and line, and the check command."""

from pathlib import Path

import numpy as np
import pytest

from fastreid_projects.data import folder as own
from fastreid_projects.data.datasets import build_dataset
from fastreid_projects.data.own.columns import Column
from fastreid_projects.data.own.counts import count_attributes
from fastreid_projects.data.own.labels import label_entries, label_identities
from fastreid_projects.data.own.words import read_words
from fastreid_projects.errors import DataError
from tests.layouts import draw

YAML = """\
attributes:
  backpack:
    phrase: backpack
    group: bags
  Sleeves:
    phrase: sleeves
    values: {long: long sleeves, short: short sleeves}
  top:
    phrase: top
    level: image
    values: [red, blue, dark green]
ignored: [note]
"""
# path, pid, camid, split, backpack, sleeves, top, note
ROWS = [
    "1.png,anna,1,train,yes,Long,red,x",
    "2.png,anna,2,train,?,long,blue + Red,",
    "3.png,bert,1,train,no,short,,",
    "4.png,bert,2,train,0,,dark green,",
    "5.png,carl,1,query,1,-1,blue,",
    "6.png,carl,2,gallery,true,nan,blue,",
    "7.png,dora,2,gallery,,?,?,",
]
HEAD = "path,pid,camid,split,backpack,sleeves,top,note"
LABELS = [
    [1, 0, 1, 0, 0],
    [1, 0, 1, 1, 0],
    [0, 1, -1, -1, -1],
    [0, 1, 0, 0, 1],
    [1, -1, 0, 1, 0],
    [1, -1, 0, 1, 0],
    [-1, -1, -1, -1, -1],
]


def write(folder, rows=ROWS, head=HEAD, words=YAML, persons=None):
    """A folder of own pictures with attributes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 8):
        draw(folder / f"{number}.png", number)
    (folder / "labels.csv").write_text("\n".join([head, *rows]) + "\n")
    if words is not None:
        (folder / "attributes.yaml").write_text(words)
    if persons is not None:
        (folder / "attributes.csv").write_text("\n".join(persons) + "\n")
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    return tmp_path


def labels(folder):
    return label_entries(folder, own.read_pictures(folder).entries, read_words(folder / "attributes.yaml"))


def check(path, capsys):
    code = own.main([str(path), "--same-camera"])
    printed = capsys.readouterr()
    return code, (printed.err.strip().splitlines() or [""])[-1], printed.out


# Words


def test_words_make_binary_attributes(root):
    words = read_words(write(root / "shop") / "attributes.yaml")
    assert words.names == ("backpack", "Sleeves", "top_red", "top_blue", "top_dark_green")
    assert [a.values for a in words.attributes] == [
        ("no backpack", "backpack"),
        ("long sleeves", "short sleeves"),
        ("no red top", "red top"),
        ("no blue top", "blue top"),
        ("no dark green top", "dark green top"),
    ]
    assert [a.group for a in words.attributes] == ["bags", "", "top", "top", "top"]
    assert [a.is_thing for a in words.attributes] == [True, False, True, True, True]
    assert words.attributes[1].describe_pair(0, 1) == "sleeves: query long sleeves, gallery short sleeves"
    assert words.attributes[2].describe_pair(1, 0) == "red top: only the query has it"
    assert [(c.name, c.level, c.places) for c in words.columns] == [
        ("backpack", "identity", slice(0, 1)),
        ("Sleeves", "identity", slice(1, 2)),
        ("top", "image", slice(2, 5)),
    ]


def test_no_and_yes_may_have_phrases_of_their_own(tmp_path):
    """As they are written: YAML would make truth values of them."""
    file = tmp_path / "w.yaml"
    file.write_text(
        "attributes:\n"
        "  hat: {phrase: hat, values: {yes: a hat, no: bareheaded}}\n"
        "  bag: {phrase: bag, values: [no, yes]}\n"
        "  age: {phrase: age, values: {1: young, 2: old}}\n"
    )
    hat, bag, age = read_words(file).attributes
    assert (hat.values, hat.is_thing) == (("bareheaded", "a hat"), True)
    assert bag.values == ("no bag", "bag")
    assert (age.values, age.is_thing) == (("young", "old"), False)
    assert read_words(file).columns[2].read("2") == (1,)


def test_none_of_several_values():
    column = Column("top", "identity", ("red", "blue", "black"), 0)
    assert [column.read(cell) for cell in ("None", "red+none")] == [(0, 0, 0), None]
    assert Column("top", "identity", ("red", "blue", "none"), 0).read("none") == (0, 0, 1)
    assert Column("sleeves", "identity", ("long", "short"), 0).read("none") is None


def test_a_value_that_holds_a_plus():
    column = Column("type", "identity", ("a+b", "a", "b"), 0)
    assert [column.read(cell) for cell in ("a+b", "a + b", "b")] == [(1, 0, 0), (0, 1, 1), (0, 0, 1)]


def changed(old, new):
    assert old in YAML
    return YAML.replace(old, new)


WORDS = [
    ("", "attributes.yaml is empty"),
    ("ignored: [note]\n", "has no 'attributes'"),
    ("attributes: [backpack]\n", "line 1: attributes must be a mapping"),
    (changed("    phrase: backpack\n", ""), "line 2: 'backpack' has no phrase; add words for it"),
    (changed("phrase: backpack", "phrase:"), "line 3: the phrase of 'backpack' is empty"),
    (changed("short: short sleeves", "short: "), "line 7: the phrase of 'short' of 'Sleeves' is empty"),
    (changed("short: short sleeves", "short: long sleeves"), "contain 'short' or its phrase twice"),
    (changed("[red, blue, dark green]", "[red, blue, Red]"), "line 11: the values of 'top' contain 'Red'"),
    (changed("[red, blue, dark green]", "[red]"), "line 11: the values of 'top' have to be at least two"),
    (changed("[red, blue, dark green]", "red"), "line 11: the values of 'top' must be a mapping"),
    (changed("[red, blue, dark green]", "[red, blue, '?']"), "'?' of 'top' means unknown in a table"),
    (changed("level: image", "level: picture"), "line 10: the level of 'top' is 'picture'; it has to be"),
    (
        changed("group: bags", "groups: bags"),
        "line 4: 'groups' of backpack is unknown; known are phrase, values",
    ),
    (changed("ignored:", "ignore:"), "line 12: 'ignore' of the file is unknown"),
    (changed("ignored: [note]", "ignored: note"), "line 12: ignored must be a list"),
    (changed("  Sleeves:", "  backpack:"), "line 5: attributes has 'backpack' twice"),
    (changed("  Sleeves:", "  Backpack:"), "line 5: 'attributes' contains 'Backpack' twice"),
    (changed("  Sleeves:", "  camid:"), "line 5: no attribute can be called 'camid'"),
    (
        changed("  Sleeves:", "  top_blue:"),
        "line 8: 'top' makes the attribute 'top_blue', which already exists",
    ),
    ("attributes:\n  hat: {phrase: hat}\n", "makes 1 attribute, but distances are split into two or more"),
    (changed("    group", "\tgroup"), "line 4, column 1: this is not YAML"),
    (changed("phrase: top", "phrase: top: x"), "line 9, column 16: this is not YAML"),
    (changed("[red, blue, dark green]", "[red, blue"), "this is not YAML"),
]


@pytest.mark.parametrize(("text", "sentence"), WORDS, ids=[sentence for _, sentence in WORDS])
def test_every_mistake_in_the_words_is_said_with_its_line(root, capsys, text, sentence):
    folder = write(root / "shop", words=text)
    code, last, _ = check(folder, capsys)
    assert code == 2
    assert last.startswith(f"error: {folder / 'attributes.yaml'}")
    assert sentence in last


def test_words_in_another_encoding(root, capsys):
    folder = write(root / "shop")
    (folder / "attributes.yaml").write_bytes("attributes:\n  hüte: {phrase: hut}\n".encode("latin-1"))
    assert "attributes.yaml is not UTF-8" in check(folder, capsys)[1]
    (folder / "attributes.yaml").write_bytes(YAML.encode("utf-8-sig"))
    assert check(folder, capsys)[0] == 0


# Tables


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_labels_of_identities_and_of_images(root, separator):
    """One row that says an identity's value will do; an image's own is unknown where its row does not say it."""
    folder = write(root / "shop", [row.replace(",", separator) for row in ROWS], HEAD.replace(",", separator))
    assert labels(folder).tolist() == LABELS


def test_a_table_of_identities_beside_folders_of_people(root):
    for number, name in enumerate(("train/anna", "train/bert", "query/carl", "gallery/carl", "gallery/dora")):
        draw(root / "shop" / name / f"c{1 + number % 2}_1.png", number)
    persons = ["pid;backpack;sleeves;top", "bert;no;short;red+blue", "anna;yes;;", "carl;?;long;blue"]
    (root / "shop" / "attributes.yaml").write_text(YAML)
    (root / "shop" / "attributes.csv").write_text("\n".join(persons))
    found = labels(root / "shop").tolist()
    assert found == [
        [1, -1, -1, -1, -1],
        [0, 1, 1, 1, 0],
        [-1, 0, 0, 1, 0],
        [-1, 0, 0, 1, 0],
        [-1, -1, -1, -1, -1],
    ]


def test_both_tables_share_the_columns(root):
    head = "path,pid,camid,split,backpack,note,top"
    rows = [",".join([*row.split(",")[:5], "", row.split(",")[6]]) for row in ROWS]
    folder = write(root / "shop", rows, head, persons=["pid,sleeves", "bert,short", "anna,long"])
    assert labels(folder).tolist() == LABELS


def replaced(line, old, new):
    rows = list(ROWS)
    assert old in rows[line - 2]
    rows[line - 2] = rows[line - 2].replace(old, new)
    return {"rows": rows}


NO_SLEEVES = {
    "rows": [",".join([*row.split(",")[:5], *row.split(",")[6:]]) for row in ROWS],
    "head": HEAD.replace("sleeves,", ""),
}
TABLES = [
    (
        replaced(4, "short", "shrot"),
        "labels.csv, line 4, column Sleeves: 'shrot' is none of long, short; correct",
    ),
    (
        replaced(5, "dark green", "pink"),
        "labels.csv, line 5, column top: 'pink' is none of red, blue, dark green",
    ),
    (replaced(5, "dark green", "red+pink"), "line 5, column top: 'red+pink' is none of"),
    (
        replaced(5, ",0,,", ",yes,,"),
        "labels.csv, line 5, column backpack: 'bert' has 'yes' here and 'no' in",
    ),
    (replaced(5, ",0,,", ",yes,,"), "line 4; correct one of them, or write 'level: image' under 'backpack'"),
    (
        replaced(2, ",x", ",x,more"),
        "labels.csv, line 2: there are more cells than columns, the last one is 'more'",
    ),
    ({"head": HEAD.replace("note", "notes")}, "has the column 'notes', which"),
    ({"head": HEAD.replace("note", "top")}, "labels.csv, line 1: two columns are called 'top'"),
    (NO_SLEEVES, "attributes.yaml describes 'Sleeves', but the tables in"),
    (NO_SLEEVES, "(they have backpack, top, note); add the column, or remove 'Sleeves' from attributes.yaml"),
    ({"persons": ["pid,top", "anna,red"]}, "the column 'top' is in both labels.csv and attributes.csv"),
    (
        {**NO_SLEEVES, "persons": ["pid,sleeves", "anna,lnog"]},
        "attributes.csv, line 2, column Sleeves: 'lnog'",
    ),
    (
        {**NO_SLEEVES, "persons": ["pid,sleeves", "anna,long", "", "anna,long"]},
        "attributes.csv, line 4: 'anna' already has",
    ),
    ({**NO_SLEEVES, "persons": ["pid,sleeves", ",long"]}, "attributes.csv, line 2: the column pid is empty"),
    ({**NO_SLEEVES, "persons": ["person,sleeves", "anna,long"]}, "attributes.csv has no column 'pid'"),
    (
        {**NO_SLEEVES, "persons": ["pid,sleeves,hat", "anna,long,no"]},
        "attributes.csv has the column 'hat', which",
    ),
    ({"words": None, "persons": ["pid,hat", "anna,no"]}, "holds attributes.csv, but no attributes.yaml"),
]


@pytest.mark.parametrize(("change", "sentence"), TABLES, ids=[sentence for _, sentence in TABLES])
def test_every_mistake_in_a_table_is_said_with_its_line(root, capsys, change, sentence):
    code, last, _ = check(write(root / "shop", **change), capsys)
    assert code == 2
    assert sentence in last


def test_a_table_in_another_encoding(root, capsys):
    folder = write(root / "shop", *(NO_SLEEVES["rows"], NO_SLEEVES["head"]))
    (folder / "attributes.csv").write_bytes("pid,sleeves\nJosé,long\n".encode("latin-1"))
    assert "attributes.csv cannot be read as a table in UTF-8" in check(folder, capsys)[1]


def test_a_picture_that_is_query_and_gallery_has_one_value(root, capsys):
    both = [*ROWS, "5.png,carl,1,gallery,1,,red,"]
    code, last, _ = check(write(root / "shop", both), capsys)
    assert code == 2
    assert "line 9, column top: " in last
    assert "5.png' has 'red' here and 'blue' in " in last
    assert "level: image" not in last
    assert labels(write(root / "shop", [*ROWS, "5.png,carl,1,gallery,1,,,"])).tolist() == [*LABELS, LABELS[4]]


# The dataset


def test_the_dataset_offers_them(root):
    write(root / "FolderReID")
    data = build_dataset("FolderReID")
    assert type(data).attribute_set_below(str(root)).names == data.attribute_labels([])[0].names
    assert data.attribute_labels(data.train)[1].tolist() == LABELS[:4]
    assert data.attribute_labels(data.query)[1].tolist() == LABELS[4:5]
    assert data.attribute_labels(data.gallery)[1].tolist() == LABELS[5:]
    assert data.attribute_labels([])[1].shape == (0, 5)
    (root / "FolderReID" / "attributes.yaml").unlink()
    assert build_dataset("FolderReID").attribute_labels(data.train) is None


def test_mistakes_in_attributes_do_not_stop_a_training_without_them(root):
    write(root / "FolderReID", words="attributes: nothing\n")
    assert len(build_dataset("FolderReID").train) == 4


# Another dataset's identities


@pytest.fixture
def market(tiny_market, tmp_path):
    """Four persons of Market-1501 to train on (2 to 5) and two to test (6, 7), and attributes of one's own of them."""
    tiny_market(ids=4, test_ids=2)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "attributes.yaml").write_text(YAML.replace("ignored: [note]", "people: Market1501"))
    rows = [
        "pid,backpack,sleeves,top",
        "0002,yes,long,red",
        "3,no,short,",
        "4,,long,blue",
        "6,no,?,red",
        "99,no,,",
    ]
    (folder / "attributes.csv").write_text("\n".join(rows))
    return folder


def test_identities_of_another_dataset(market):
    words = read_words(market / "attributes.yaml")
    found = label_identities(words, ["market1501_2", 3, "market1501_4", 6, 7])
    assert found.tolist() == [
        [1, 0, 1, 0, 0],
        [0, 1, -1, -1, -1],
        [-1, 0, 0, 1, 0],
        [0, -1, 1, 0, 0],
        [-1] * 5,
    ]
    assert label_identities(words, []).shape == (0, 5)
    with (market / "attributes.csv").open("a") as file:
        file.write("\n02,no,,")
    with pytest.raises(DataError, match=r"line 7: '02' already has .*line 2"):
        label_identities(words, [])
    (market / "attributes.csv").write_text("pid,backpack,sleeves,top\nanna,no,,\n")
    with pytest.raises(DataError, match="line 2: the pid 'anna' is not a number"):
        label_identities(words, [])
    (market / "attributes.csv").unlink()
    with pytest.raises(
        DataError, match=r"attributes\.csv does not exist: the attributes\.yaml beside it needs it"
    ):
        label_identities(words, [])


def test_the_check_counts_them(market, capsys):
    code, _, out = check(market / "attributes.yaml", capsys)
    assert code == 0
    assert "warning: 1 person of attributes.csv is on no picture (99)" in out
    assert "3 columns of attributes.yaml make 5 attributes" in out
    line = next(line for line in out.splitlines() if line.startswith("backpack"))
    cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
    assert cells[2:4] == ["backpack / no backpack / unknown", "1 / 1 / 2"]
    (market / "attributes.yaml").write_text(YAML)
    assert (
        "does not say whose identities its attributes.csv names"
        in check(market / "attributes.yaml", capsys)[1]
    )


# The check


def test_the_check_counts_persons_pictures_and_what_is_unknown(root, capsys):
    code, _, out = check(write(root / "shop"), capsys)
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines() if " / " in line}
    cells = {name: [cell.strip() for cell in row.split("  ") if cell.strip()] for name, row in rows.items()}
    assert cells["backpack"][-4:] == ["1 / 1 / 0", "2 / 2 / 0", "1 / 0 / 1", "2 / 0 / 1"]
    assert cells["Sleeves"][-4:] == ["1 / 1 / 0", "2 / 2 / 0", "0 / 0 / 2", "0 / 0 / 3"]
    assert cells["top_red"][-4:] == ["1 / 1 / 0", "2 / 1 / 1", "0 / 1 / 1", "0 / 2 / 1"]
    warned = [line for line in out.splitlines() if line.startswith("warning")]
    assert "warning: the attribute Sleeves is not known for any picture of test" in warned
    assert (
        "warning: the attribute top_red is 'no red top' wherever it is known in test: no pair differs in it"
        in warned
    )
    assert not any("of train" in line or "in train" in line for line in warned)


def test_more_columns_without_words_are_named(root, capsys):
    code, _, out = check(write(root / "shop", words=None), capsys)
    assert code == 0
    assert (
        "ignored columns: backpack, sleeves, top, note; an attributes.yaml turns them into attributes" in out
    )


def test_persons_of_the_table_whom_no_picture_shows(root, capsys):
    folder = write(root / "shop", **NO_SLEEVES, persons=["pid,sleeves", "ana,long"])
    assert "warning: 1 person of attributes.csv is on no picture (ana)" in check(folder, capsys)[2]


def test_counts_of_a_person_with_pictures_of_both_values():
    counts = count_attributes(np.array([[1, -1], [0, -1], [-1, 0]], dtype=np.int8), ["a", "a", "b"])
    assert counts.persons.tolist() == [[1, 0], [1, 1], [1, 1]]
    assert counts.pictures.tolist() == [[1, 0], [1, 1], [1, 2]]
    assert counts.constant(1) == 0
    assert counts.constant(0) is None
    assert count_attributes(np.empty((0, 2), np.int8), []).pictures.tolist() == [[0, 0]] * 3


# The page


def test_the_example_of_the_documentation(root, capsys):
    """The tables and words exactly as in the documentation."""
    text = (Path(__file__).parents[2] / "docs" / "own_attributes.md").read_text()
    blocks = [block.partition("\n")[2] for block in text.split("```")[1::2]]
    table = next(block for block in blocks if block.startswith("path,pid"))
    words = next(block for block in blocks if block.startswith("attributes:"))
    persons = next(block for block in blocks if block.startswith("pid,"))
    folder = root / "FolderReID"
    for number in range(1, 8):
        draw(folder / "pictures" / f"{number}.jpg", number)
    (folder / "labels.csv").write_text(table)
    (folder / "attributes.yaml").write_text(words)
    assert check(folder, capsys)[0] == 0
    assert read_words(folder / "attributes.yaml").names == (
        "backpack",
        "sleeves",
        "top_red",
        "top_blue",
        "top_black",
    )
    assert labels(folder)[:4].tolist() == [
        [1, 0, 1, 0, 0],
        [1, 0, 1, 0, 0],
        [0, 1, 1, 0, 1],
        [0, 1, -1, -1, -1],
    ]
    (folder / "labels.csv").write_text("\n".join(",".join(row.split(",")[:4]) for row in table.splitlines()))
    (folder / "attributes.csv").write_text(persons)
    assert labels(folder)[::2].tolist() == [[1, 0, 1, 0, 0], [0, 1, -1, -1, -1], [-1] * 5, [-1] * 5]
