"""The layers of the core: kept, and a violation is found."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("", ""),
        ("losses/distances.py", "from fastreid_projects.engine import seeds"),
        ("data/images.py", "from fastreid_projects.config import load_config"),
        ("host/utils/events.py", "from fastreid_projects.engine.trainer import Trainer"),
    ],
)
def test_nothing_imports_what_stands_above_it(module, line, tmp_path):
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "fastreid_projects", tmp_path / "fastreid_projects", ignore=skip)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    if module:
        path = tmp_path / "fastreid_projects" / module
        path.write_text(f"{path.read_text()}\n\ndef planted():\n    {line}\n")
    command = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode == 0) is (module == ""), done.stdout + done.stderr
    if module:
        name = "fastreid_projects." + module.removesuffix(".py").replace("/", ".")
        assert name in done.stdout
