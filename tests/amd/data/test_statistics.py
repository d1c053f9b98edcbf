"""How often attributes occur: numbers, picture, command."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastreid_projects.amd.data.statistics import attribute_statistics
from fastreid_projects.commands.table import run_command
from fastreid_projects.data.attributes import MARKET1501
from fastreid_projects.data.datasets import build_dataset
from tests.amd.data.test_attribute_dataset import write_mat


@pytest.fixture
def market(tiny_market):
    """Persons 2 to 5 in training, 6 and 7 in test; 7 has no attributes."""
    folder = tiny_market(ids=4, test_ids=2)
    write_mat(folder / "market_attribute.mat", MARKET1501, [1, 2, 1, 2, 1], [2, 3, 4, 5, 6])
    return folder


def test_persons_and_images_are_counted_by_value(market):
    data = build_dataset("Market1501")
    attribute_set, (training, test) = attribute_statistics("Market1501")
    assert attribute_set is MARKET1501
    assert training.persons.tolist() == [[2] * 26, [2] * 26]
    ones = sum(item[1].endswith(("_3", "_5")) for item in data.train)
    assert np.unique(training.images[1]).tolist() == [ones]
    assert np.unique(training.images.sum(axis=0)).tolist() == [len(data.train)]
    assert training.unlabelled == 0
    items = [*data.query, *data.gallery]
    assert test.persons.tolist() == [[1] * 26, [0] * 26]
    assert np.unique(test.images[0]).tolist() == [sum(item[1] == 6 for item in items)]
    assert test.unlabelled == sum(item[1] != 6 for item in items) > 0


def test_the_command_writes_a_table_and_a_picture(market, tmp_path, capsys):
    stem = tmp_path / "out" / "market.v1"
    words = ["--dataset", "Market1501", "--output", str(stem)]
    assert run_command("attribute-statistics", words, "attribute_statistics.py") == 0
    said = capsys.readouterr().out.splitlines()
    assert "images of persons without attributes are not counted" in said[0]
    assert said[1:] == [f"{stem}.csv", f"{stem}.png"]
    rows = list(csv.DictReader(Path(said[1]).read_text().splitlines()))
    assert len(rows) == 2 * 26
    first = rows[0]
    assert (first["attribute"], first["value 1"], first["value 0"]) == ("gender", "female", "male")
    assert (first["part"], first["persons 1"], first["persons 0"]) == ("training", "2", "2")
    assert (rows[1]["part"], rows[1]["persons 1"], rows[1]["persons 0"]) == ("test", "0", "1")
    drawn = np.asarray(Image.open(said[2]).convert("RGB"))
    colours = {tuple(pixel) for pixel in drawn.reshape(-1, 3).tolist()}
    assert (0x0B, 0x4F, 0x8A) in colours, "bars of the training part"


@pytest.mark.parametrize(
    ("name", "words"),
    [("MSMT17", ("MSMT17", "not a dataset with attributes", "DukeMTMC")), ("DukeMTMC", ("DukeMTMC-reID",))],
)
def test_a_dataset_without_attributes_or_images(market, tmp_path, capsys, name, words):
    line = ["--dataset", name, "--output", str(tmp_path / "x")]
    assert run_command("attribute-statistics", line, "attribute_statistics.py") == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said


def test_another_datasets_attribute_file(market, capsys):
    write_mat(market / "market_attribute.mat", MARKET1501, [1, 2], [1401, 1402])
    assert run_command("attribute-statistics", ["--dataset", "Market1501"], "attribute_statistics.py") == 2
    assert "is it another dataset's?" in capsys.readouterr().err
