"""The papers' READMEs are alike: a few sentences, a picture, and the same sections in the same order."""

import re
from pathlib import Path

import pytest

from fastreid_projects.evidence.readmes import END, START

ROOT = Path(__file__).resolve().parents[1]
READMES = sorted((ROOT / "projects").glob("*/README.md"))
SECTIONS = [
    *("Use", "Results", "Configs", "Keys", "Where it deviates", "Reading path", "Checklist", "Citation"),
]
PICTURE = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.S | re.M)


@pytest.fixture(params=READMES, ids=lambda path: path.parent.name)
def readme(request):
    return request.param


def sections(path):
    """The text before the first section, and the sections by their headings."""
    before, *parts = re.split(
        r"(?m)^## (.+)\n", FENCE.sub(lambda b: b[0].replace("\n#", "\n #"), path.read_text())
    )
    return before, dict(zip(parts[::2], parts[1::2], strict=True))


def test_there_are_five():
    assert [path.parent.name for path in READMES] == ["AIRNet", "AMD", "FIDI", "MPN", "SAL"]


def test_the_sections_are_the_same_in_the_same_order(readme):
    assert list(sections(readme)[1]) == SECTIONS


def test_it_begins_with_what_it_is_and_a_picture(readme):
    title, text, picture = sections(readme)[0].strip().split("\n\n")
    assert re.fullmatch(r"# [\w-]+: .+", title)
    assert len(re.findall(r"[.:] |\.$", re.sub(r"\*[^*]+\*|\([^)]*\)", "", text))) >= 3
    path = PICTURE.fullmatch(picture)[1]
    assert (readme.parent / path).is_file()


def test_each_section_has_what_its_heading_says(readme):
    found = sections(readme)[1]
    assert "python tools/train_net.py" in found["Use"]
    assert START in found["Results"]
    assert END in found["Results"]
    assert f"docs/results/{readme.parent.name.lower()}.md" in found["Results"]
    assert "config.py" in found["Keys"]
    assert "- [x]" in found["Checklist"]
    assert "- [ ]" in found["Checklist"]
    assert found["Citation"].strip().startswith("```bibtex")


def test_the_keys_exist(readme):
    """Every MODEL key in the section's table is one of the config."""
    from fastreid_projects.config import load_config

    cfg = load_config(str(ROOT / "configs" / "demo" / "bagtricks_r18_demo.yml"), [])
    rows = re.findall(r"(?m)^\| `(MODEL\.[^|]+) \|", sections(readme)[1]["Keys"])
    assert rows
    for row in rows:
        names = [name.strip(" `") for name in row.split(",")]
        group = names[0].rpartition(".")[0]
        for name in names:
            assert key_of(cfg, (group + name if name[0] == "." else name).removesuffix(".*")) is not None, (
                name
            )


def key_of(cfg, name):
    for part in name.split("."):
        cfg = cfg[part]
    return cfg
