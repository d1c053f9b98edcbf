"""Blocks of the how-to pages that need no data: docs/configs.md and docs/demo_data.md."""

import dataclasses
from pathlib import Path

import pytest

from fastreid_projects.data.demo.plan import SPECS
from tests.docs.pages import DOCS, blocks
from tests.docs.typing_in import Reader

ROOT = DOCS.parent


def test_what_is_in_effect(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for block in blocks(DOCS / "configs.md"):
        if block.language == "sh" and not block.needs:
            Reader(tmp_path).follow(block, "configs.md")
    said = capsys.readouterr().out
    assert "BASE_LR: 0.001" in said
    assert "projects/SAL/configs/" in said


@pytest.fixture
def few(monkeypatch):
    """Both domains with a few people."""
    for domain in ("A", "B"):
        small = dataclasses.replace(SPECS[domain], train_ids=2, test_ids=2, distractors=1, junk=1)
        monkeypatch.setitem(SPECS, domain, small)


def test_the_demo_set_is_drawn(few, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path)
    for block in blocks(DOCS / "demo_data.md"):
        reader.follow(block, "demo_data.md")
    assert Path("sheet.png").is_file()
    assert {path.name for path in Path("datasets").glob("Demo*")} == {"DemoReID", "DemoReID-B"}
    assert callable(reader.names["load_masks"])
