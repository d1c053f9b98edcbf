"""Each paper's README prints a reading path whose files exist and have about as many lines as it says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
READMES = sorted((ROOT / "projects").glob("*/README.md"))
ROW = re.compile(r"^\| \[`[^`]+`\]\(([^)]+)\) \| (\d+) \|", re.M)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_the_reading_path_is_current(readme):
    rows = ROW.findall(readme.read_text().split("## Reading path")[1])
    assert len(rows) >= 4
    for path, lines in rows:
        found = len((readme.parent / path).read_text().splitlines())
        assert abs(found - int(lines)) <= max(10, 0.1 * found), (
            f"{readme.parent.name}: {path} has {found} lines"
        )
