"""The command of a record or of a resume, as it can be typed again."""

import shlex
import subprocess
import sys

import pytest

from fastreid_projects import interrupts
from fastreid_projects.command_line.pasteable import pasteable


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["tools/train_net.py", "SOLVER.STEPS", "(1,)"], "python tools/train_net.py SOLVER.STEPS '(1,)'"),
        (["a b/train_net.py", "OUTPUT_DIR", "my runs"], "python 'a b/train_net.py' OUTPUT_DIR 'my runs'"),
        (["/opt/bin/fastreid-projects", "train"], "/opt/bin/fastreid-projects train"),
    ],
)
def test_it_is_quoted_and_begins_with_python_where_it_is_a_script(argv, command):
    assert pasteable(argv) == command
    assert shlex.split(command)[-len(argv) + 1 :] == argv[1:]


def test_a_program_below_this_folder_is_named_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        pasteable([str(tmp_path / ".venv/bin/fastreid-projects"), "train"])
        == ".venv/bin/fastreid-projects train"
    )


def test_a_module_is_started_as_one(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").touch()
    code = "import sys\nfrom fastreid_projects.command_line.pasteable import pasteable\nprint(pasteable(sys.argv))"
    (tmp_path / "own" / "__main__.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "own", "a b"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
        check=True,
    )
    assert done.stdout.strip() == "python -m own 'a b'"


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (
            ["tools/train_net.py", "--config-file", "x.yml"],
            "python tools/train_net.py --resume --config-file x.yml",
        ),
        (["tools/train_net.py", "SEED", "1", "--resume"], "python tools/train_net.py --resume SEED 1"),
        (["bin/fastreid-projects", "train", "SEED", "1"], "bin/fastreid-projects train --resume SEED 1"),
    ],
)
def test_a_run_is_resumed_behind_the_subcommand(argv, command, monkeypatch):
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert interrupts.resume_command() == command
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert interrupts.resume_command().startswith("torchrun --standalone --nproc_per_node 2 ")
    assert "python " not in interrupts.resume_command()
