"""Every hyper-parameter of a paper's config is the paper's or a stated stand-in."""

import pytest
import yaml

from fastreid_projects.config.unsourced import unsourced
from fastreid_projects.errors import ConfigError
from tests.yaml_files import ROOT

PAPERS = sorted(path.parent for path in (ROOT / "projects").glob("*/values.yml"))


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_every_paper_says_where_its_values_come_from():
    assert sorted(path.parent for path in (ROOT / "projects").glob("*/configs")) == PAPERS


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: path.name)
def test_nothing_is_without_a_source(paper):
    assert [str(found) for found in unsourced(paper)] == []


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: path.name)
def test_no_entry_is_for_nothing(paper):
    """An entry that no config has any more would hide a new one of its name."""
    used = (paper / "configs").rglob("*.yml")
    text = "\n".join(path.read_text() for path in [*used, *(ROOT / "configs").rglob("*.yml")])
    for entry in yaml.safe_load((paper / "values.yml").read_text()):
        for key in (*entry.get("keys", ()), *entry.get("values", {})):
            assert f"{key.rsplit('.', 1)[-1]}:" in text, key


VALUES = """
- configs: ["small_*"]
  source: stand-ins
  keys: [SOLVER.STEPS]
- configs: ["*"]
  source: sec. 4
  values: {SOLVER.BASE_LR: 0.1, MODEL.LOSSES.NAME: [A]}
- configs: ["*:first"]
  source: sec. 5
  values: {SOLVER.MAX_EPOCH: 3}
"""
CONFIG = """
MODEL: {LOSSES: {NAME: [A]}}
SOLVER: {BASE_LR: 0.1, STEPS: [3]}
OUTPUT_DIR: x
STAGES:
  - NAME: first
    SOLVER: {MAX_EPOCH: 3, BASE_LR: 0.2}
  - NAME: second
    SOLVER: {MAX_EPOCH: 3}
"""


def test_what_nobody_answers_for_is_listed(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "values.yml").write_text(VALUES)
    for name in ("small_x", "large_x"):
        (tmp_path / "configs" / f"{name}.yml").write_text(CONFIG)
    found = [(one.config, one.key, one.value, one.expected) for one in unsourced(tmp_path)]
    of_stages = [
        ("{}:first", "SOLVER.BASE_LR", 0.2, 0.1),
        ("{}:second", "SOLVER.MAX_EPOCH", 3, None),
    ]
    large = [("large_x", "SOLVER.STEPS", [3], None)]
    assert found == large + [
        (name.format(config), *rest) for config in ("large_x", "small_x") for name, *rest in of_stages
    ]
    text = str(unsourced(tmp_path)[1])
    assert text.startswith("large_x:first: SOLVER.BASE_LR 0.2 (")
    assert text.endswith("large_x.yml:7); values.yml has 0.1")


@pytest.mark.parametrize("text", ["a: 1", "[1]", "- configs: [x]\n  source: y\n", "a: ["])
def test_a_list_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "values.yml").write_text(text)
    with pytest.raises(ConfigError, match=r"values\.yml"):
        unsourced(tmp_path)
