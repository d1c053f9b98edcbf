"""mypy sees across files: errors planted in the core, in a paper, and between the two are found."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# file -> a call of what another file of the core or of the paper defines, with arguments of wrong types
PLANTED = {
    "fastreid_projects/evaluation/fidelity.py": "iter_distances(1, 2, 3)",
    "projects/AMD/amd/losses.py": "wide('half')",
    "projects/AMD/amd/meta_arch.py": "exclusive_attributes(1, 2)",
    "projects/MPN/mpn/meta_arch.py": "find_regions('a', 'b', 3)",
}


@pytest.mark.slow
def test_planted_errors_are_found(tmp_path):
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("docs", "fastreid_projects", "projects", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=skip)
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for name, call in PLANTED.items():
        path = tmp_path / name
        path.write_text(f"{path.read_text()}\n\ndef planted() -> None:\n    {call}\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    wrong = {line.split(":", 1)[0] for line in done.stdout.splitlines() if "[arg-type]" in line}
    assert wrong == set(PLANTED), done.stdout
