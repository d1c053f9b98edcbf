"""What the Makefile's targets end with."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from fastreid_projects.config import load_config

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = ROOT / "Makefile"


@pytest.fixture
def demo(tmp_path):
    """A factory: ``make demo`` in an empty folder, installed already, with a shell command that trains."""

    def make(training):
        words = ["make", "-f", MAKEFILE, "-o", ".venv/.installed", "demo", f"RUN={training}"]
        alone = {
            key: value for key, value in os.environ.items() if key not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")
        }
        return subprocess.run(words, cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=900)

    return make


def test_the_demo_ends_with_the_page_to_open(demo, tmp_path):
    (config,) = re.findall(r"^\t.*--config-file (\S+demo\.yml)", MAKEFILE.read_text(), re.M)
    report = f"{load_config(str(ROOT / config)).OUTPUT_DIR}/report/report.html"
    (tmp_path / report).parent.mkdir(parents=True)
    (tmp_path / report).touch()
    assert demo("echo").stdout.splitlines()[-1] == f"Open {report}"


def test_a_demo_that_fails_names_no_page(demo, tmp_path):
    report = tmp_path / "logs" / "demo" / "amd" / "report" / "report.html"
    assert demo("true").stdout.count("Open") == 0
    report.parent.mkdir(parents=True)
    report.touch()
    failed = demo("false")
    assert failed.returncode != 0
    assert "Open logs" not in failed.stdout


@pytest.mark.parametrize(
    ("target", "wanted"), [("test", True), ("docs", True), ("demo", False), ("check", False)]
)
def test_what_the_documents_need_is_installed_for_the_tests_and_the_site_alone(tmp_path, target, wanted):
    for name in ("requirements.txt", "requirements-docs.txt", "setup.py", "pyproject.toml"):
        (tmp_path / name).touch()
    words = ["make", "--no-print-directory", "-n", "-f", MAKEFILE, target]
    done = subprocess.run(
        words, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert ("requirements-docs.txt" in done.stdout) == wanted
