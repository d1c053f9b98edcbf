"""What an editor and mypy know of a config."""

import os
import subprocess
import sys

import pytest

from fastreid_projects.config import load_config
from fastreid_projects.config.stub import PATH, stub

USED = """
from fastreid_projects.config import load_config
from fastreid_projects.typed_config import Config


def depth(cfg: Config) -> str:
    return cfg.MODEL.BACKBONE.DEPTH


reveal_type(load_config().SOLVER.BASE_LR)
reveal_type(load_config().clone().MODEL.AMD.TEST.GAMMA)
reveal_type(depth(load_config()))
"""


def test_the_stub_holds_every_key():
    assert PATH.read_text(encoding="utf-8") == stub(load_config()), (
        "write it anew: python -m fastreid_projects.config.stub"
    )


@pytest.mark.slow
def test_a_type_checker_knows_the_keys(tmp_path):
    def checked(text):
        (tmp_path / "used.py").write_text(text)
        command = [
            sys.executable,
            "-m",
            "mypy",
            "--ignore-missing-imports",
            "--follow-imports=silent",
            "used.py",
        ]
        environment = {**os.environ, "MYPYPATH": str(PATH.parents[1])}  # a wheel needs none
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200, check=False
        )

    done = checked(USED)
    assert done.returncode == 0, done.stdout
    kinds = [line.split('"')[1] for line in done.stdout.splitlines() if "Revealed type" in line]
    assert kinds == ["float", "float", "str"] or kinds == [f"builtins.{k}" for k in ("float", "float", "str")]
    wrong = checked(USED.replace("BASE_LR", "BASE_LEARNING"))
    assert wrong.returncode == 1
    assert 'has no attribute "BASE_LEARNING"' in wrong.stdout
