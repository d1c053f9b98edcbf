"""Tables come from records alone."""

import json

import pytest

from fastreid_projects.engine.tables import markdown_table, read_record
from fastreid_projects.errors import DataError


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


def test_no_record_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"run\.json"):
        read_record(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError, match="no metrics"):
        read_record(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(DataError, match="no run record"):
        read_record(tmp_path)
