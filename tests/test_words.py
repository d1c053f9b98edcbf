"""The words that CONTRIBUTING.md avoids are found by ``make check``."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
WORDS = [line.split("->") for line in (ROOT / ".ci" / "words.txt").read_text().splitlines()]


def check(*paths):
    """Run codespell as ``make check`` does, over some files."""
    command = [sys.executable, "-m", "codespell_lib", *map(str, paths)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def found(tmp_path, lines):
    """Return the numbers of the lines, from 0, in which something is found, and whether the check fails."""
    file = tmp_path / "page.md"
    file.write_text("\n".join(lines) + "\n")
    done = check(file)
    numbers = {int(n) - 1 for n in re.findall(rf"^{re.escape(str(file))}:(\d+): ", done.stdout, re.M)}
    return numbers, done.returncode != 0


def test_codespell_reads_the_table():
    (table,) = re.findall(r"^\| avoid \| use \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.M)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    # the comma at the end: several are offered, none is written by codespell --write-changes
    assert [[avoid, f"{use},"] for avoid, use in rows] == WORDS


def test_every_word_of_the_table_is_found(tmp_path):
    numbers, failed = found(tmp_path, [f"This {avoid} with." for avoid, _ in WORDS])
    assert failed
    assert numbers == set(range(len(WORDS)))


def test_a_misspelt_word_is_found(tmp_path):
    assert found(tmp_path, ["The modle", "occured."]) == ({0, 1}, True)  # codespell:ignore


@pytest.mark.parametrize(
    "line",
    [
        "There is no GPU, there are no images, and it is no longer read.",
        "A training step, a training set and a training run.",
        "This is no sentence.  # codespell:ignore",
    ],
)
def test_what_is_said_otherwise_passes(tmp_path, line):
    assert found(tmp_path, [line]) == (set(), False)
