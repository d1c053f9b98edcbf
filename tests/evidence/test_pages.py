"""Pages of results: statements are judged by kept records; without a record they are not measured yet."""

import json
import re
import shutil
from pathlib import Path

import pytest

from fastreid_projects.commands.table import run_command
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.evidence import kept as kept_module
from fastreid_projects.evidence.claims import Claim, Row, read_claims, training_runs
from fastreid_projects.evidence.kept import keep, kept
from fastreid_projects.evidence.pages import END, judge, write_pages
from fastreid_projects.evidence.statements import Statement, read_statements

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = read_claims(ROOT / "tools" / "evidence.yml")
STATEMENTS = read_statements(ROOT / "tools" / "claims.yml", CLAIMS)
CONFIG = "configs/demo/bagtricks_r18_demo.yml"
CLAIM = Claim("table", "b above a", ("mAP",), (0, 1, 2), (Row("a", CONFIG, ()), Row("b", CONFIG, ())))


def statement(**changes):
    values = {"paper": "PAPER", "text": "b above a", "where": "table 1", "printed": "", "tables": ("table",)}
    values |= {"higher": ("b", ""), "lower": ("a", ""), "within": None, "value": None}
    return Statement(**(values | changes))


def scores(b, a, **more):
    return {
        "table": {
            "a": dict(enumerate({"mAP": v, **more} for v in a)),
            "b": dict(enumerate({"mAP": v} for v in b)),
        }
    }


@pytest.mark.parametrize(
    ("b", "a", "within", "seen"),
    [
        ([3.0, 4.0, 5.0], [1.0, 2.0, 3.0], None, "yes"),
        ([1.0, 2.0, 3.0], [3.0, 4.0, 5.0], None, "no"),
        ([1.0, 5.0, 3.0], [3.0, 2.0, 3.0], None, "not told apart"),
        ([3.0], [1.0], None, "one seed, which proves little"),
        ([], [], None, "not measured yet"),
        ([3.0, 4.0], [3.2, 4.2], 1.0, "yes"),
        ([7.0, 8.1], [3.0, 4.0], 1.0, "no"),
        ([3.0, 4.0], [5.2, 6.2], 1.0, "no"),
        ([3.0, 5.0], [3.0, 3.2], 1.0, "not told apart"),
    ],
)
def test_a_verdict_is_the_intervals(b, a, within, seen):
    assert judge(statement(within=within), scores(b, a), {"table": "mAP"})[0] == seen


def test_numbers_are_paired_differences_with_their_interval():
    _, numbers, table = judge(statement(), scores([11.0, 22.0, 33.0], [10.0, 20.0, 30.0]), {"table": "mAP"})
    assert (numbers, table) == ("b − a, mAP: +2.00, 95 % interval -0.48 to +4.48; 3 seeds", "table")


def test_the_first_table_with_records_counts():
    found = {"better": {}, **scores([2.0, 2.0], [1.0, 1.0])}
    assert (
        judge(statement(tables=("better", "table")), found, {"better": "mAP", "table": "mAP"})[2] == "table"
    )


def test_other_metrics_and_single_values():
    found = scores([2.0], [1.0], ADRE=3.0)
    assert judge(statement(value=("a", "ADRE")), found, {"table": "mAP"})[:2] == ("measured", "3.00")
    same_row = statement(higher=("a", "ADRE"), lower=("a", "mAP"))
    assert judge(same_row, found, {"table": "mAP"})[1] == "ADRE − mAP: +2.00; one seed"


@pytest.fixture
def output(tmp_path, monkeypatch):
    """A folder with all runs of CLAIM, finished."""
    monkeypatch.chdir(ROOT)
    for number, training in enumerate(training_runs(CLAIM, str(tmp_path / "out"))):
        finish(training, float(number))
    return tmp_path / "out"


def finish(training, score, **config):
    from fastreid_projects.config import load_config

    folder = Path(training.folder)
    folder.mkdir(parents=True)
    pairs = [str(word) for pair in config.items() for word in pair]
    cfg = load_config(
        training.row.config, ["SEED", str(training.seed), "OUTPUT_DIR", training.folder, *pairs]
    )
    record = {
        "metrics": {"mAP": score},
        "seconds": 60,
        "commit": "abc",
        "seed": training.seed,
        "config": cfg.dump(),
    }
    record |= {"hardware": {"cpu": "a CPU", "cores": 2, "torch_threads": 1}, "versions": {"torch": "2.0"}}
    record |= {"command": f"fastreid-projects train OUTPUT_DIR {training.folder}", "date": "today"}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "last_checkpoint").write_text("model_final.pth")
    (folder / "model_final.pth").touch()


def test_records_are_kept_small_and_name_no_folder_of_this_machine(output, tmp_path):
    (path,) = keep([CLAIM], str(output), tmp_path / "records")
    entries = kept(CLAIM, tmp_path / "records")
    assert [(entry["row"], entry["seed"]) for entry in entries] == [
        *(("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)),
    ]
    assert entries[1]["numbers"] == {"mAP": 1.0, "minutes": 1.0}
    assert entries[0]["command"] == "fastreid-projects train OUTPUT_DIR logs/evidence/table/a/seed_0"
    assert str(tmp_path) not in path.read_text()
    shutil.rmtree(output / "table" / "a")
    keep([CLAIM], str(output), tmp_path / "records")
    assert len(kept(CLAIM, tmp_path / "records")) == 6


@pytest.mark.parametrize("change", [{"SOLVER.BASE_LR": "0.5"}, {"SEED": "7"}])
def test_a_training_of_other_settings_is_left_out_and_named(output, tmp_path, host_log, change):
    shutil.rmtree(output / "table" / "b" / "seed_1")
    (training,) = [t for t in training_runs(CLAIM, str(output)) if t.row.name == "b" and t.seed == 1]
    finish(training, 3.0, **change)
    keep([CLAIM], str(output), tmp_path / "records")
    assert len(kept(CLAIM, tmp_path / "records")) == 5
    assert f"{training.folder} is left out: it was trained with {next(iter(change))}" in host_log.text


def test_a_kept_record_of_other_options_than_the_lists_is_left_out(output, tmp_path):
    keep([CLAIM], str(output), tmp_path / "records")
    changed = CLAIM._replace(rows=(CLAIM.rows[0]._replace(opts=("SOLVER.BASE_LR", "0.5")), CLAIM.rows[1]))
    assert {entry["row"] for entry in kept(changed, tmp_path / "records")} == {"b"}
    fewer = CLAIM._replace(seeds=(0, 1))
    assert {entry["seed"] for entry in kept(fewer, tmp_path / "records")} == {0, 1}


def test_a_broken_file_of_records_is_named(tmp_path):
    (tmp_path / "table.json").write_text("[]")
    with pytest.raises(DataError, match=r"table\.json is not a file of kept records"):
        kept(CLAIM, tmp_path)


def test_pages_have_tables_commands_and_what_people_wrote(output, tmp_path):
    docs = tmp_path / "docs"
    (docs / "results").mkdir(parents=True)
    (docs / "results" / "paper.md").write_text(f"old\n{END}\n\n## Ours\n")
    keep([CLAIM], str(output), docs / "results" / "records")
    write_pages({"PAPER": [statement(), statement(text="c above a", tables=())]}, [CLAIM], docs)
    summary = (docs / "results.md").read_text()
    assert "| yes              | b − a, mAP: +1.00, 95 % interval +1.00 to +1.00; 3 seeds |" in summary
    assert "[table](results/paper.md#table)" in summary
    assert "| c above a | table 1        | not measured yet" in summary
    page = (docs / "results" / "paper.md").read_text()
    assert page.endswith(f"{END}\n\n## Ours\n")
    assert "old" not in page
    assert "## table\n\nb above a.\n" in page
    assert "Commit abc; a CPU, threads: 1 of 2 cores, PyTorch 2.0." in page
    assert "fastreid-projects train OUTPUT_DIR logs/evidence/table/b/seed_2\n" in page


def test_what_a_table_needs_stands_before_its_commands(output, tmp_path):
    claim = CLAIM._replace(needs="a camera")
    keep([claim], str(output), tmp_path / "results" / "records")
    write_pages({"PAPER": [statement()]}, [claim], tmp_path)
    page = (tmp_path / "results" / "paper.md").read_text()
    assert (
        "*Needs a camera, and minutes to hours of training for each; the tests only parse these commands.*"
        in page
    )


def test_a_paper_without_records_has_no_number(tmp_path):
    write_pages({"PAPER": [statement()]}, [CLAIM], tmp_path)
    page = (tmp_path / "results" / "paper.md").read_text()
    assert "*Not measured yet.*" in page
    assert "mAP:" not in page


def test_the_pages_of_this_project_are_those_of_its_records(tmp_path):
    """``make results`` writes them."""
    shutil.copytree(ROOT / "docs" / "results", tmp_path / "results")
    for path in write_pages(STATEMENTS, CLAIMS, tmp_path):
        assert path.read_text() == (ROOT / "docs" / path.relative_to(tmp_path)).read_text()


def test_make_results_is_the_command():
    line = "evidence.py --list tools/evidence.yml --claims tools/claims.yml --pages docs --readmes ."
    assert re.search(rf"^results:.*\n\t.*{re.escape(line)}$", (ROOT / "Makefile").read_text(), re.M)


def test_every_claim_that_is_measured_names_rows_with_records_or_none():
    assert set(STATEMENTS) == {"AMD", "FIDI", "AIRNet", "MPN", "SAL"}
    for claim in CLAIMS:
        known = {(row.name, seed) for row in claim.rows for seed in claim.seeds}
        assert {(e["row"], e["seed"]) for e in kept(claim, ROOT / "docs" / "results" / "records")} <= known


def test_the_command_writes_them(output, tmp_path, monkeypatch, capsys):
    docs = tmp_path / "docs"
    monkeypatch.setattr(kept_module, "is_finished", lambda folder: False)
    words = ["--list", "tools/evidence.yml", "--claims", "tools/claims.yml", "--pages", str(docs)]
    assert run_command("evidence", words, "evidence") == 0
    assert str(docs / "results.md") in capsys.readouterr().out
    assert run_command("evidence", ["--list", "tools/evidence.yml", "--pages", str(docs)], "evidence") == 2
    assert "--pages needs --claims" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "cannot be read"),
        ("[1]", "mapping from papers"),
        ("P: [{claim: c}]", "P, statement 1 has to have claim, tables, where"),
        ("P: [{claim: c, where: w, tables: [table], higher: a}]", "either value, or both higher and lower"),
        ("P: [{claim: c, where: w, tables: [other], value: a}]", "the table other, which"),
        (
            "P: [{claim: c, where: w, tables: [table], higher: a, lower: x}]",
            "the row x, which is not in the table table",
        ),
    ],
)
def test_mistakes_in_statements_are_one_sentence(tmp_path, text, words):
    (tmp_path / "claims.yml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_statements(tmp_path / "claims.yml", [CLAIM])
