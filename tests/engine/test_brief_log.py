"""The log of a run: what its config changes first, nothing twice, all of it with ``--debug``."""

import logging

import pytest

from fastreid_projects.commands.table import run_command
from fastreid_projects.engine.brief_log import Brief, changed_keys
from fastreid_projects.engine.setup import close_log


@pytest.fixture
def train(tiny_market, tiny_cfg, tmp_path, capsys):
    tiny_market()
    config = tmp_path / "tiny.yml"
    config.write_text(tiny_cfg("DATASETS.NAMES", ("Market1501",), "DATASETS.TESTS", ("Market1501",)).dump())

    def run(*words):
        assert (
            run_command("train", ["--config-file", str(config), "SOLVER.MAX_EPOCH", "2", *words], "train")
            == 0
        )
        return capsys.readouterr()

    yield run
    close_log()


def test_two_epochs_are_short(train, tmp_path):
    shown = train()
    lines = (tmp_path / "logs" / "log.txt").read_text().splitlines()
    assert len(lines) < 90
    assert "  SOLVER.MAX_EPOCH: 2" in lines[:40]
    assert sum("mAP" in line for line in lines) == 2
    assert sum("| gallery" in line for line in lines) == 1
    assert sum("epoch/iter" in line for line in lines) == 2
    assert "run.json" in lines[-1]
    assert not any("Conv2d" in line for line in lines)
    assert "No CUDA runtime" not in shown.err


def test_debug_shows_the_model_and_the_whole_config(train):
    said = train("--debug").out
    for words in ("Conv2d", "Running with full config", "Environment info"):
        assert words in said


def test_what_differs_from_the_defaults(tiny_cfg, tmp_path):
    from fastreid_projects.config import load_config

    assert changed_keys(load_config("", ["SOLVER.MAX_EPOCH", "7", "TRACKERS", "[]"])) == [
        "SOLVER.MAX_EPOCH: 7",
        "TRACKERS: []",
    ]


@pytest.mark.parametrize(
    ("text", "passes"),
    [("Model:\nBaseline(", [False, False]), ("=> Loaded x", [True, False]), ("loss: 1", [True, True])],
)
def test_what_is_left_out(text, passes):
    brief = Brief()
    record = logging.LogRecord("fastreid", logging.INFO, "", 0, text, None, None)
    assert [brief.filter(record) for _ in range(2)] == passes
