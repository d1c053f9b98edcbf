"""Tables are made only from records."""

import json

import pytest

from fastreid_projects.errors import DataError
from fastreid_projects.records.tables import (
    flat_metrics,
    markdown_table,
    read_record,
    read_runs,
    total_seconds,
)


def write(folder, **metrics):
    folder.mkdir()
    record = {"metrics": metrics, "seconds": 90, "commit": "abc"}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_one_row_a_record(tmp_path):
    records = [
        ("one", read_record(write(tmp_path / "a", mAP=12.345))),
        ("two", read_record(write(tmp_path / "b"))),
    ]
    lines = markdown_table(records, ["mAP"]).splitlines()
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == ["one", "12.35", "1.5", "abc"]
    assert [cell.strip() for cell in lines[3].strip("|").split("|")] == ["two", "-", "1.5", "abc"]


def test_minutes_of_an_evaluation_are_its_trainings(tmp_path):
    record = read_record(write(tmp_path / "a", mAP=1.0))
    stages = [{"name": "first", "seconds": 60}]
    assert total_seconds({**record, "stages": stages}) == 150
    assert total_seconds({**record, "stages": [], "training": {"seconds": 600, "stages": stages}}) == 660
    assert total_seconds({**record, "training": {}}) == 90, "it is not known"


def test_no_record_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"run\.json"):
        read_record(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError, match="no metrics"):
        read_record(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(DataError, match="is not a run record"):
        read_record(tmp_path)


def test_runs_of_several_seeds_are_one_row(tmp_path):
    runs = [
        read_record(write(tmp_path / name, mAP=value, only=1.0)) for name, value in (("a", 10.0), ("b", 14.0))
    ]
    del runs[1]["metrics"]["only"]
    lines = markdown_table([("both", runs), ("one", runs[0])], ["mAP", "only"]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert cells[0][:4] == ["both", "12.00 ± 2.83", "-", "3.0"]  # (10, 14): the sample's deviation is sqrt(8)
    assert cells[1][:4] == ["one", "10.00", "1.00", "1.5"]


def test_metrics_of_several_datasets(tmp_path):
    record = read_record(
        write(tmp_path / "a", Market1501={"mAP": 1.5}, DemoReID={"mAP": 2.5, "Rank-1": None})
    )
    assert flat_metrics(record) == {"Market1501/mAP": 1.5, "DemoReID/mAP": 2.5}
    assert "Market1501/mAP" in markdown_table([("a", record)])


def test_a_folder_of_seeds(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    for seed in (0, 1, 7):
        write(folder / f"seed_{seed}", mAP=float(seed))
    (folder / "seeds.json").write_text(json.dumps({"runs": {"0": "seed_0", "7": "seed_7"}}))
    assert [record["metrics"]["mAP"] for record in read_runs(folder)] == [0.0, 7.0]
    assert read_runs(folder / "seed_1")["metrics"]["mAP"] == 1.0
