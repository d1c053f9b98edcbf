"""The READMEs' tables of results: made from the records, between two comments, and nothing else is touched."""

import shutil
from pathlib import Path

import pytest

from fastreid_projects.commands.table import run_command
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.evidence import kept as kept_module
from fastreid_projects.evidence.claims import Claim, Row, read_claims
from fastreid_projects.evidence.readmes import END, START, measured, write_readmes
from fastreid_projects.evidence.statements import Statement, read_statements

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = read_claims(ROOT / "tools" / "evidence.yml")
STATEMENTS = read_statements(ROOT / "tools" / "claims.yml", CLAIMS)
CLAIM = Claim("table", "b above a", ("mAP",), (0, 1, 2), (Row("a", "a.yml", ()), Row("b", "b.yml", ())))
FIRST = {"table": "mAP"}


def statement(**changes):
    values = {"paper": "PAPER", "text": "b above a", "where": "table 1", "printed": "2 beside 1"}
    values |= {"tables": ("table",), "higher": ("b", ""), "lower": ("a", ""), "within": None, "value": None}
    return Statement(**(values | {"gives": "Better", "beside": "the baseline"} | changes))


def scores(b, a):
    rows = {"a": a, "b": b}
    return {"table": {row: {seed: {"mAP": v} for seed, v in enumerate(list_)} for row, list_ in rows.items()}}


@pytest.mark.parametrize(
    ("b", "a", "said"),
    [
        ([3.0, 4.0, 5.0], [1.0, 2.0, 3.0], "4.00 ± 1.00~ beside 2.00 ± 1.00 of the baseline; 3 seeds: seen"),
        ([1.0, 2.0], [3.0, 4.0], "1.50 ± 0.71~ beside 3.50 ± 0.71 of the baseline; 2 seeds: not seen"),
        ([1.0, 5.0], [3.0, 2.0], "3.00 ± 2.83~ beside 2.50 ± 0.71 of the baseline; 2 seeds: not told apart"),
        ([3.0], [1.0], "3.00~ beside 1.00 of the baseline; one seed"),
        ([3.0, 9.0], [1.0], "3.00~ beside 1.00 of the baseline; one seed"),
    ],
)
def test_a_cell_has_both_means_and_what_they_say(b, a, said):
    number, _, rest = said.partition("~")
    expected = f"[mAP {number}](docs/results/paper.md#table){rest}"
    assert measured(statement(), scores(b, a), FIRST) == expected


def test_a_cell_without_a_baseline_or_without_a_record():
    alone = statement(value=("b", "mAP"), higher=("", ""), lower=("", ""))
    assert measured(alone, scores([3.0], []), FIRST) == "[mAP 3.00](docs/results/paper.md#table); one seed"
    assert measured(statement(), {}, FIRST) == "not measured yet"


@pytest.fixture
def repository(tmp_path):
    """A README and that of one paper, with old tables."""
    for path in (tmp_path / "README.md", tmp_path / "projects" / "PAPER" / "README.md"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Pa-Per: a method\n\nBefore.\n\n{START}\n\nold\n\n{END}\n\nAfter.\n")
    return tmp_path


def test_tables_take_the_place_of_old_ones_and_the_rest_stays(repository):
    silent = statement(text="c above a", tables=(), gives="", beside="")
    paths = write_readmes({"PAPER": [statement(), silent]}, [CLAIM], repository / "docs", repository)
    whole, paper = (path.read_text() for path in paths)
    assert "| [Pa-Per](projects/PAPER/README.md) | Better " in whole
    assert "| not measured yet " in whole
    assert "| 2 beside 1 " in whole
    assert "c above a" not in whole
    assert "| b above a | table 1 " in paper
    assert "| c above a | table 1 " in paper
    for text in (whole, paper):
        assert "old" not in text
        assert text.startswith("# Pa-Per: a method\n\nBefore.\n\n")
        assert text.endswith(f"\n\n{END}\n\nAfter.\n")


def test_a_readme_without_a_place_is_named_and_none_is_written(repository):
    paper = repository / "projects" / "PAPER" / "README.md"
    paper.write_text(f"# T: t\n\n{START}\n")
    with pytest.raises(DataError, match=r"PAPER/README\.md has no place for its table of results"):
        write_readmes({"PAPER": [statement()]}, [CLAIM], repository / "docs", repository)
    assert "old" in (repository / "README.md").read_text()
    (repository / "README.md").unlink()
    with pytest.raises(DataError, match=r"README\.md cannot be read"):
        write_readmes({"PAPER": [statement()]}, [CLAIM], repository / "docs", repository)


def test_the_readmes_of_this_project_are_those_of_its_records(tmp_path):
    """``make results`` writes them."""
    for path in (ROOT / "README.md", *ROOT.glob("projects/*/README.md")):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    paths = write_readmes(STATEMENTS, CLAIMS, ROOT / "docs", tmp_path)
    assert len(paths) == 6
    for path in paths:
        assert path.read_text() == (ROOT / path.relative_to(tmp_path)).read_text()


def test_every_paper_has_a_row():
    for paper, own in STATEMENTS.items():
        assert any(statement.gives and statement.printed and statement.tables for statement in own), paper


def test_the_command_writes_them(repository, monkeypatch, capsys):
    monkeypatch.setattr(kept_module, "is_finished", lambda folder: False)
    for path in ROOT.glob("projects/*/README.md"):
        copy = repository / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
    words = [
        "--list",
        "tools/evidence.yml",
        "--claims",
        "tools/claims.yml",
        "--pages",
        str(repository / "docs"),
    ]
    assert run_command("evidence", [*words, "--readmes", str(repository)], "evidence") == 0
    assert str(repository / "README.md") in capsys.readouterr().out
    assert "projects/FIDI/README.md" in (repository / "README.md").read_text()


@pytest.mark.parametrize(
    "entry", ["gives: g, higher: a, lower: b", "beside: x, higher: a, lower: b", "value: a, beside: x"]
)
def test_a_row_names_its_baseline(tmp_path, entry):
    path = tmp_path / "claims.yml"
    path.write_text(f"P: [{{claim: c, where: w, tables: [table], {entry}}}]")
    with pytest.raises(ConfigError, match="gives and higher need beside"):
        read_statements(path, [CLAIM])
