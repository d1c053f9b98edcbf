"""Each paper's README prints a reading path: its files exist, its numbers of lines are about right and add up."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
READMES = sorted((ROOT / "projects").glob("*/README.md"))
ROW = re.compile(r"^\| \[`[^`]+`\]\(([^)]+)\) \| (\d+) \|", re.M)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_the_reading_path_is_current(readme):
    section = readme.read_text().split("## Reading path")[1].split("\n## ")[0]
    rows = ROW.findall(section)
    assert len(rows) >= 4
    for path, lines in rows:
        found = len((readme.parent / path).read_text().splitlines())
        assert abs(found - int(lines)) <= max(5, 0.05 * found), (
            f"{readme.parent.name}: {path} has {found} lines"
        )
    (total,) = re.findall(r"(\d+) lines in all", section)
    assert int(total) == sum(int(lines) for _, lines in rows), readme.parent.name
