"""The list of claims: read, trained one after the other, resumed, and shown in tables with paired differences."""

import json
import os
import re
import signal
import threading
import time
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from fastreid_projects.commands.table import run_command
from fastreid_projects.config import load_config
from fastreid_projects.config.checks import check_host_config, check_training_config
from fastreid_projects.engine.stages import build_stages
from fastreid_projects.errors import ConfigError, DataError, InterruptedRunError
from fastreid_projects.evidence import make as evidence
from fastreid_projects.evidence.claims import Claim, Row, Training, read_claims, training_runs
from fastreid_projects.evidence.report import arguments, scores_table, write_claim

ROOT = Path(__file__).resolve().parents[2]
LIST = ROOT / "tools" / "evidence.yml"
CLAIMS = read_claims(LIST)


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("row", [row for claim in CLAIMS for row in claim.rows], ids=lambda row: row.name)
def test_every_row_of_the_list_is_a_training(row, quick):
    opts = [*row.opts, *(evidence.quick_opts(row.config, row.opts) if quick else ())]
    for stage in build_stages(load_config(row.config, opts)):
        check_host_config(stage.cfg)
        check_training_config(stage.cfg)
        assert not quick or stage.cfg.SOLVER.MAX_EPOCH == 1


def test_the_makefile_makes_the_list():
    text = (ROOT / "Makefile").read_text()
    assert re.search(
        r"^evidence:.*\n\t.*evidence\.py --list tools/evidence\.yml \$\(if \$\(QUICK\),--quick\)", text, re.M
    )


ROWS = (Row("a", "a.yml", ("SOLVER.BASE_LR", "0.1")), Row("b", "b.yml", ()))
CLAIM = Claim("table", "b above a", ("mAP",), (0, 1, 2), ROWS)


def finish(training, mean_ap):
    folder = Path(training.folder)
    folder.mkdir(parents=True)
    record = {"metrics": {"mAP": mean_ap, "other": 1.0}, "seconds": 60, "commit": "c", "config": ""}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "last_checkpoint").write_text("model_final.pth")
    (folder / "model_final.pth").touch()
    lines = [{"total_loss": 2.5, "cls_accuracy": 0.5, "iteration": 9}, {"mAP": mean_ap, "iteration": 9}]
    (folder / "metrics.json").write_text("\n".join(map(json.dumps, lines)))


@pytest.fixture
def trained(monkeypatch):
    """The runs that were started; each ends at once with its number as its score, row b's with 5 more."""
    started = []

    def train(training, more):
        started.append((training.row.name, training.seed))
        finish(training, len(started) + 5.0 * (training.row.name == "b") + 10 * training.seed)
        return True

    monkeypatch.setattr(evidence, "_train", train)
    return started


def test_all_rows_of_a_seed_come_before_the_next_and_nothing_twice(trained, tmp_path):
    done = list(training_runs(CLAIM, str(tmp_path)))
    finish(done[1], 7.0)
    assert evidence.make([CLAIM], str(tmp_path)) == []
    assert trained == [("a", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert evidence.make([CLAIM], str(tmp_path)) == []
    assert len(trained) == 5


def test_a_table_that_needs_more_is_trained_where_it_is_named(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(evidence, "make", lambda claims, output, quick: asked.append(claims) or [])
    more = [claim.name for claim in CLAIMS if claim.needs]
    assert "amd_mars_subset" in more
    for words in ((), ("--only", *more)):
        assert (
            run_command("evidence", ["--list", str(LIST), "--output", str(tmp_path), *words], "evidence") == 0
        )
    everybody, named = ([claim.name for claim in claims] for claims in asked)
    assert not set(everybody) & set(more)
    assert named == more


def test_many_metrics_of_one_row_stand_below_each_other():
    names = tuple(f"m{k}" for k in range(20))
    table = scores_table(
        CLAIM._replace(metrics=names), {"a": {0: dict.fromkeys(names, 1.0) | {"minutes": 2.0}}}
    )
    lines = table.splitlines()
    assert lines[0].split() == ["|", "measure", "|", "a", "|"]
    assert "| m19" in table
    assert len(lines) == 2 + 1 + 20 + 3


def test_a_quick_list_trains_each_config_once(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "quick_opts", lambda config, opts: [])
    other = Claim("other", "b above c", ("mAP",), (4,), (Row("b", "b.yml", ()), Row("c", "c.yml", ())))
    assert evidence.make([CLAIM, other], str(tmp_path), quick=True) == []
    assert trained == [("a", 0), ("b", 0), ("c", 4)]


def test_the_table(tmp_path):
    made = list(training_runs(CLAIM, str(tmp_path)))
    for training, score in zip(made, (10, 11, 20, 22, 30, 33), strict=True):
        finish(training, score)
    text = write_claim(str(tmp_path), CLAIM, made).read_text()
    assert text.startswith("# b above a\n")
    assert "| a     | 3       | 20.00 ± 10.00 | 2.50 ± 0.00     | 50.00 ± 0.00" in text
    # differences 1, 2, 3: mean 2, standard error 0.577, t 4.303
    assert "- b − a, mAP: +2.00, 95 % interval -0.48 to +4.48; seeds 0, 1, 2" in text
    folder = tmp_path / "table" / "a" / "seed_0"
    pasted = (
        f"fastreid-projects train --config-file a.yml --resume SOLVER.BASE_LR 0.1 SEED 0 OUTPUT_DIR {folder}"
    )
    assert pasted in text
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "command": "fastreid-projects train --what ran"}))
    assert "\nfastreid-projects train --what ran\n" in write_claim(str(tmp_path), CLAIM, made).read_text()
    one = write_claim(str(tmp_path), CLAIM, made[:2]).read_text()
    assert "- b − a, mAP: +1.00; seeds 0" in one


def test_a_training_that_fails_is_named_and_the_others_are_made(monkeypatch, tmp_path):
    def train(training, more):
        if training.row.name == "a":
            return False
        finish(training, 1.0)
        return True

    monkeypatch.setattr(evidence, "_train", train)
    failed = evidence.make([CLAIM], str(tmp_path))
    assert [(one.row.name, one.seed) for one in failed] == [("a", 0), ("a", 1), ("a", 2)]
    assert (tmp_path / "table.md").is_file()
    monkeypatch.setattr(evidence, "_train", lambda training, more: False)
    with pytest.raises(DataError, match=r"all 6 runs failed; the first was fastreid-projects train"):
        evidence.make([CLAIM], str(tmp_path / "other"))


def test_the_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(evidence.subprocess, "Popen", finish_from)
    words = ["--list", str(LIST), "--only", "sal", "--quick", "--output", str(tmp_path)]
    assert run_command("evidence", words, "evidence") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "quick" / "sal.md")
    assert run_command("evidence", ["--list", str(LIST), "--only", "sall"], "evidence") == 2
    assert "did you mean 'sal'" in capsys.readouterr().err


def finish_from(words):
    assert words[1:4] == ["-m", "fastreid_projects", "train"]
    finish(Training(CLAIMS[0].rows[0], 0, words[-1]), 1.0)
    child = MagicMock()
    child.__enter__.return_value.wait.return_value = 0
    return child


def test_weights_of_an_earlier_table():
    (start,) = (claim for claim in CLAIMS if claim.name == "pretrain")
    (learned,) = training_runs(start, "out")
    (table,) = (claim for claim in CLAIMS if claim.name == "fidi_bagtricks_pretrained")
    assert CLAIMS.index(start) < CLAIMS.index(table)
    for training in training_runs(table, "out"):
        assert f"{learned.folder}/model_final.pth" in training.row.opts


def test_arguments():
    training = next(training_runs(CLAIM, "out"))
    words = arguments(training, ["DATASETS.ID_FRACTION", "0.5"])
    assert words[:3] == ["--config-file", "a.yml", "--resume"]
    assert words[3:] == [
        *("SOLVER.BASE_LR", "0.1", "DATASETS.ID_FRACTION", "0.5"),
        *("SEED", "0", "OUTPUT_DIR", "out/table/a/seed_0"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", "no 'tables'"),
        ("tables: {a: {claim: x}}", "list.yml: a has to be a mapping of claim, metrics, seeds"),
        ("tables: {a: {claim: x, metrics: [], seeds: [1], rows: {b: {config: c}}}}", "at least one"),
        ("tables: {a/b: {claim: x, metrics: [m], seeds: [1], rows: {b: {config: c}}}}", "names a folder"),
        ("tables: {a: {claim: x, metrics: [m], seeds: [1], rows: {b: c}}}", "the row b has to be a mapping"),
        ("a: [", "cannot be read"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, text, words):
    (tmp_path / "list.yml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_claims(tmp_path / "list.yml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_claims(tmp_path / "none.yml")


def test_a_signal_stops_the_training_before_the_list(tmp_path, monkeypatch):
    """A run that outlived the list would continue in secret, and beside the next one."""
    trainer = tmp_path / "trainer"
    trainer.write_text(
        f"#!/bin/sh\ntrap 'touch \"{tmp_path}/saved\"; exit 1' USR2\n"
        f'touch "{tmp_path}/started"\nwhile :; do sleep 0.05; done\n'
    )
    trainer.chmod(0o755)
    monkeypatch.setattr(evidence.sys, "executable", str(trainer))

    def stop():
        while not (tmp_path / "started").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(InterruptedRunError, match="a/seed_0; the same command continues the list") as error:
        evidence.make([CLAIM], str(tmp_path / "out"))
    thread.join()
    assert error.value.exit_code == 128 + signal.SIGTERM
    assert (tmp_path / "saved").exists()
    assert not (tmp_path / "out" / "table.md").exists()
