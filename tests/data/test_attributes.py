"""Attribute files: read by field name, checked value by value, spoken about in words."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from fastreid_projects.data.attributes import (
    ATTRIBUTE_SETS,
    DEMO,
    DUKEMTMC,
    MARKET1501,
    UNKNOWN,
    Attribute,
    AttributeSet,
    raw_pid,
    read_attribute_file,
)
from fastreid_projects.errors import DataError

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SMALL = AttributeSet(
    "small",
    "small_attribute",
    "small.mat",
    (
        Attribute("hat", "hat", ("no hat", "hat"), is_thing=True),
        Attribute("up", "sleeves", ("long sleeves", "short sleeves"), is_thing=False),
    ),
)


def split(pids, hat, up, **more):
    index = np.array([f"{pid:04d}" for pid in pids], dtype=object)
    return {"image_index": index, "hat": np.array(hat, np.uint8), "up": np.array(up, np.uint8), **more}


def write(folder, train, test, name="small_attribute"):
    path = folder / "small.mat"
    savemat(path, {name: {"train": train, "test": test}})
    return path


# Reading


def test_fields_are_found_by_name_in_any_order(tmp_path):
    """The real files order train and test differently: a reader by position mixes attributes up."""
    train = split([2, 7], [1, 2], [2, 1], age=np.array([4, 3], np.uint8))
    test = split([1], [2], [2])
    test = {name: test[name] for name in ("up", "image_index", "hat")}
    table = read_attribute_file(write(tmp_path, train, test), SMALL)
    assert table.attribute_set is SMALL
    assert {pid: row.tolist() for pid, row in table.rows.items()} == {2: [0, 1], 7: [1, 0], 1: [1, 1]}
    assert all(row.dtype == np.int8 for row in table.rows.values())


def test_columns_may_stand_upright_and_names_may_be_numbers(tmp_path):
    """Both spellings occur in files that people saved again: a column vector, identities as numbers."""
    train = {"image_index": np.array([[5], [6]]), "hat": np.array([[1], [2]]), "up": np.array([[2], [2]])}
    test = {"image_index": np.array([9]), "hat": np.array([1]), "up": np.array([1])}
    table = read_attribute_file(write(tmp_path, train, test), SMALL)
    assert {pid: row.tolist() for pid, row in table.rows.items()} == {5: [0, 1], 6: [1, 1], 9: [0, 0]}


def test_zero_is_unknown_and_makes_the_whole_identity_unknown_to_metrics(tmp_path):
    table = read_attribute_file(write(tmp_path, split([1, 2], [0, 1], [2, 2]), split([3], [1], [1])), SMALL)
    assert table.rows[1].tolist() == [UNKNOWN, 1]
    assert table.lookup(1).tolist() == [UNKNOWN, UNKNOWN]
    assert table.lookup(2).tolist() == [0, 1]


def test_identities_without_a_row_are_unknown(tmp_path):
    """pid 0 (background), -1 (junk) and distractors count in retrieval, never in an attribute metric."""
    table = read_attribute_file(write(tmp_path, split([1, 2], [2, 1], [2, 2]), split([3], [1], [1])), SMALL)
    for pid in (0, -1, 4711, "small_0"):
        assert table.lookup(pid).tolist() == [UNKNOWN, UNKNOWN]
    assert table.lookup("small_1").tolist() == [1, 1]
    assert table.matrix([3, "small_1", 0]).tolist() == [[0, 0], [1, 1], [-1, -1]]
    assert table.matrix([]).shape == (0, 2)
    assert table.matrix([3]).dtype == np.int8


def test_equal_rows_of_one_identity_are_one(tmp_path):
    table = read_attribute_file(write(tmp_path, split([1, 1], [2, 2], [1, 1]), split([1], [2], [1])), SMALL)
    assert {pid: row.tolist() for pid, row in table.rows.items()} == {1: [1, 0]}


def bad_files():
    good = split([1, 2], [1, 2], [2, 1])
    other = split([3], [1], [1])
    return {
        "missing field": ({k: v for k, v in good.items() if k != "up"}, other, r"'up' in 'train'"),
        "missing index": (
            good,
            {k: v for k, v in other.items() if k != "image_index"},
            r"'image_index' in 'test'",
        ),
        "wrong length": (
            {**good, "hat": np.array([1, 2, 1], np.uint8)},
            other,
            r"'hat' of 'train'.*3 values for 2",
        ),
        "value 3": (good, {**other, "up": np.array([3], np.uint8)}, r"'up' of 'test'.*holds 3"),
        "value 1.5": ({**good, "up": np.array([1.5, 1.0])}, other, r"'up' of 'train'.*holds 1.5"),
        "not a number": ({**good, "up": np.array([np.nan, 1.0])}, other, r"'up' of 'train'.*holds nan"),
        "text": (
            {**good, "up": np.array(["yes", "no"], dtype=object)},
            other,
            r"'up' of 'train'.*holds 'yes'",
        ),
        "two rows in a split": (split([1, 1], [1, 2], [2, 2]), other, r"different rows for identity 1"),
        "two rows in two splits": (good, split([1], [2], [1]), r"different rows for identity 1"),
        "no number": ({**good, "image_index": np.array(["a", "b"], dtype=object)}, other, r"identity 'a'"),
        "no struct": (np.arange(4), other, r"'image_index' in 'train'"),
    }


@pytest.mark.parametrize("name", bad_files())
def test_a_broken_file_is_an_error_that_names_the_file_and_the_field(name, tmp_path):
    train, test, message = bad_files()[name]
    path = write(tmp_path, train, test)
    with pytest.raises(DataError, match=message) as error:
        read_attribute_file(path, SMALL)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_no_attribute_files_at_all(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_attribute_file(tmp_path / "none.mat", SMALL)
    with pytest.raises(DataError, match="does not exist"):
        read_attribute_file(tmp_path, SMALL)
    garbage = tmp_path / "garbage.mat"
    garbage.write_bytes(b"not the bytes of MATLAB" * 30)
    with pytest.raises(DataError, match=r"garbage\.mat cannot be read"):
        read_attribute_file(garbage, SMALL)
    garbage.write_bytes(b"")
    with pytest.raises(DataError, match=r"garbage\.mat cannot be read"):
        read_attribute_file(garbage, SMALL)
    path = write(tmp_path, split([1], [1], [1]), split([2], [1], [1]), name="other_attribute")
    with pytest.raises(DataError, match="holds other_attribute, but not 'small_attribute'"):
        read_attribute_file(path, SMALL)
    savemat(path, {"small_attribute": np.eye(3)})
    with pytest.raises(DataError, match=r"no field 'small_attribute.train'"):
        read_attribute_file(path, SMALL)
    savemat(path, {"small_attribute": {"train": split([1], [1], [1])}})
    with pytest.raises(DataError, match=r"no field 'small_attribute.test'"):
        read_attribute_file(path, SMALL)


def test_raw_pid_reads_the_hosts_labels():
    """The host's training labels are texts such as 'market1501_2'; 1501 is not an identity."""
    labels = {12: 12, np.int64(7): 7, "market1501_12": 12, "market1501_test_0003": 3, "demo_-1": -1}
    assert {label: raw_pid(label) for label in labels} == labels
    with pytest.raises(DataError, match="market1501_x"):
        raw_pid("market1501_x")


# The sets


def test_the_sets_have_the_papers_sizes_and_no_name_twice():
    """26 on Market-1501 (27 with age), 23 on DukeMTMC (sec. 4.1); the demo set has Market's."""
    assert [len(s) for s in (MARKET1501, DUKEMTMC, DEMO)] == [26, 23, 26]
    for attribute_set in ATTRIBUTE_SETS.values():
        assert len(set(attribute_set.names)) == len(attribute_set)
        assert [attribute_set.index(name) for name in attribute_set.names] == list(range(len(attribute_set)))
    assert "age" not in MARKET1501.names
    assert sum(name.startswith("up") for name in MARKET1501.names) == 1 + 8
    assert sum(name.startswith("down") for name in MARKET1501.names) == 1 + 9
    assert DEMO.names == MARKET1501.names


@pytest.mark.parametrize(
    ("attribute_set", "name", "raw_1", "raw_2"),
    [
        (MARKET1501, "gender", "male", "female"),
        (MARKET1501, "hair", "short", "long"),
        (MARKET1501, "up", "long sleeve", "short sleeve"),
        (MARKET1501, "down", "long", "short"),
        (MARKET1501, "clothes", "dress", "trousers"),
        (MARKET1501, "hat", "no hat", "hat"),
        (MARKET1501, "downpink", "no pink", "pink"),
        (DUKEMTMC, "gender", "male", "female"),
        (DUKEMTMC, "top", "short", "long"),
        (DUKEMTMC, "boots", "no boots", "boots"),
        (DUKEMTMC, "shoes", "dark", "light"),
    ],
)
def test_words_are_those_of_the_datasets_readme(attribute_set, name, raw_1, raw_2):
    """'up' is 1 for LONG sleeves: a reader that takes 2 for 'yes' and 'up' for 'long' says the opposite."""
    attribute = attribute_set.attributes[attribute_set.index(name)]
    assert attribute.values[0].startswith(raw_1)
    assert attribute.values[1].startswith(raw_2)


def test_people_never_read_a_raw_field_name():
    for attribute_set in (MARKET1501, DUKEMTMC):
        for attribute in attribute_set.attributes:
            sentences = [attribute.describe_pair()]
            sentences += [attribute.describe_pair(a, b) for a in (0, 1) for b in (0, 1)]
            for sentence in sentences:
                words = set(sentence.replace(":", " ").replace(",", " ").split())
                assert not words & {"up", "down", "top", "clothes", "0", "1", "-1"}, sentence
                assert not any(word.startswith(("up", "down")) and word != "upper" for word in words), (
                    sentence
                )


def test_sentences_about_a_pair():
    hat = MARKET1501.attributes[MARKET1501.index("hat")]
    sleeves = MARKET1501.attributes[MARKET1501.index("up")]
    boots = DUKEMTMC.attributes[DUKEMTMC.index("boots")]
    assert hat.describe_pair(1, 0) == "hat: only the query has one"
    assert hat.describe_pair(0, 1) == "hat: only the gallery has one"
    assert hat.describe_pair(1, 1) == "hat: both have one"
    assert hat.describe_pair(0, 0) == "hat: neither has one"
    assert sleeves.describe_pair(0, 1) == "sleeves: query long sleeves, gallery short sleeves"
    assert sleeves.describe_pair(0, 0) == "sleeves: both long sleeves"
    assert sleeves.describe_pair() == "sleeves differ"
    assert hat.describe_pair(UNKNOWN, 1) == "hat differs"
    assert hat.describe_pair(UNKNOWN, 1, alike=True) == "hat alike"
    assert hat.describe_pair(1, 0, alike=True) == hat.describe_pair(1, 0)
    assert "one" not in boots.describe_pair(1, 0).split()


# The real files


def real_table(attribute_set):
    path = REAL / attribute_set.file_name
    if not path.is_file():
        pytest.skip("the real attribute files are not here")
    return read_attribute_file(path, attribute_set)


@pytest.mark.parametrize(("attribute_set", "identities"), [(MARKET1501, 1501), (DUKEMTMC, 1812)])
def test_real_files_have_their_identities_and_values(attribute_set, identities):
    """Market: 751 + 750. Duke: 702 + 1110, more than the 702 test identities of the ReID benchmark."""
    table = real_table(attribute_set)
    assert len(table.rows) == identities
    matrix = np.stack(list(table.rows.values()))
    assert matrix.shape == (identities, len(attribute_set))
    assert set(np.unique(matrix)) <= {-1, 0, 1}


def test_real_market_knows_everybody_and_reads_both_orders_of_fields():
    """Raw values looked up by hand in the file, of the first rows of train and of test."""
    table = real_table(MARKET1501)
    assert not any((row == UNKNOWN).any() for row in table.rows.values())
    assert table.lookup(0).tolist() == [UNKNOWN] * 26
    raw = raw_values("market_attribute")
    for which, pid in (("train", 2), ("train", 1500), ("test", 1), ("test", 1501)):
        index, fields = raw[which]
        row = index.index(pid)
        assert table.lookup(pid).tolist() == [fields[name][row] - 1 for name in MARKET1501.names]
    colours = [MARKET1501.index(name) for name in MARKET1501.names if name.startswith("up") and name != "up"]
    matrix = np.stack(list(table.rows.values()))
    assert np.median(matrix[:, colours].sum(axis=1)) == 1  # about one colour above for everybody


def test_real_duke_leaves_two_tops_open():
    """Identities 370 and 679 have 0 for 'top', neither short nor long: no attribute metric may count them."""
    table = real_table(DUKEMTMC)
    open_rows = {pid: row for pid, row in table.rows.items() if (row == UNKNOWN).any()}
    assert set(open_rows) == {370, 679}
    for row in open_rows.values():
        assert [DUKEMTMC.names[k] for k in np.flatnonzero(row == UNKNOWN)] == ["top"]
        assert (row[np.arange(23) != DUKEMTMC.index("top")] >= 0).all()
    assert (table.lookup(370) == UNKNOWN).all()
    raw = raw_values("duke_attribute")
    for which, pid in (("train", 1), ("test", 2)):
        index, fields = raw[which]
        assert table.lookup(pid).tolist() == [fields[name][index.index(pid)] - 1 for name in DUKEMTMC.names]


def raw_values(name):
    """The file as scipy gives it by default, field by field: {split: (pids, {field: values})}."""
    from scipy.io import loadmat

    struct = loadmat(REAL / f"{name}.mat")[name][0, 0]
    result = {}
    for which in ("train", "test"):
        part = struct[which][0, 0]
        index = [int(cell[0]) for cell in part["image_index"].ravel()]
        fields = {f: part[f].ravel().astype(int).tolist() for f in part.dtype.names if f != "image_index"}
        result[which] = index, fields
    return result
