"""A few of the cases as users meet them: in their own process, both streams in one."""

import os
import subprocess
import sys

import pytest

from tests.bad_input.conftest import ROOT

CASES = {
    "train_net": (
        "--config-file {root}/configs/demo/bagtricks_r18_demo.yml SOLVER.BASE_LRR 1",
        "SOLVER.BASE_LR?",
    ),
    "results_table": ("nowhere", "nowhere"),
}


def run(tool, line, folder):
    words = [word.format(root=ROOT) for word in line.split()]  # the root may hold spaces
    return subprocess.run(
        [sys.executable, ROOT / "tools" / f"{tool}.py", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "FASTREID_DATASETS": str(folder)},
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("tool", CASES)
def test_the_last_line_is_the_sentence(tmp_path, tool):
    line, word = CASES[tool]
    done = run(tool, line, tmp_path)
    assert done.returncode == 2
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert word in last
    assert "Traceback" not in done.stdout
    assert not list(tmp_path.iterdir())


def test_debug_shows_where_it_happened(bench, capsys):
    from fastreid_projects.errors import ConfigError

    with pytest.raises(ConfigError, match="there is no config key"):
        bench.train("--debug", "SOLVER.BASE_LRR", "1")


def test_what_nobody_expected_is_one_sentence_too(bench, monkeypatch):
    from fastreid_projects.engine import main

    def fail(*args):
        raise ZeroDivisionError("division by zero\nsomewhere")

    monkeypatch.setattr(main, "run", fail)
    outcome = bench.train()
    assert outcome.code == 1
    assert outcome.last.startswith(
        "internal error: ZeroDivisionError: division by zero somewhere; run again with"
    )
    with pytest.raises(ZeroDivisionError):
        bench.train("--debug")
