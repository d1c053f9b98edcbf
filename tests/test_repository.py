"""What a public repository has beside its code agrees with pyproject.toml and the Makefile."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import fastreid_projects

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HOME = PROJECT["urls"]["Homepage"]
README = (ROOT / "README.md").read_text()
TEMPLATES = ROOT / ".github" / "ISSUE_TEMPLATE"
PUBLIC = [
    *sorted((ROOT / ".github").rglob("*.*")),
    *(ROOT / name for name in ("SECURITY.md", "CODE_OF_CONDUCT.md", "CITATION.cff", "Dockerfile")),
]


def read(path):
    return yaml.safe_load((ROOT / path).read_text())


def test_pre_commit_runs_what_make_check_runs():
    words = ["make", "--no-print-directory", "-n", "-o", ".venv/.installed", "check"]
    env = {"PATH": os.environ["PATH"]}  # without the flags of a make that runs the tests
    checked = subprocess.run(
        words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=True
    )
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"  # so that the versions are those of requirements.txt
    assert [hook["entry"] for hook in repository["hooks"]] == checked.stdout.splitlines()
    for hook in repository["hooks"]:
        assert (hook["language"], hook["pass_filenames"]) == ("system", False)
        assert hook["id"]
        assert hook["name"]


def test_the_citation_says_what_the_package_says():
    cited = read("CITATION.cff")
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == fastreid_projects.__version__
    assert cited["title"] == PROJECT["name"]
    assert cited["abstract"] == PROJECT["description"]
    assert cited["license"] == PROJECT["license"]
    assert cited["repository-code"] == HOME
    assert cited["authors"] == PROJECT["authors"]
    assert set(cited["keywords"]) <= set(PROJECT["keywords"])


def test_the_changelog_says_first_what_the_version_changes_for_its_users():
    headings = re.split(r"(?m)^## (.+)\n", (ROOT / "CHANGELOG.md").read_text())
    assert headings[1::2][:2] == ["Unreleased", fastreid_projects.__version__]
    summary, *lists = re.split(r"(?m)^### (.+)\n", headings[4])
    assert summary.strip().startswith("What to know")
    assert lists[::2] == ["Added", "Changed", "Fixed"]


def test_the_badges_are_true():
    badges = dict(re.findall(r"!\[([^\]]+)\]\((https://[^)]+)\)", README))
    start = "Programming Language :: Python :: 3."
    pythons = [c.split(" :: ")[-1] for c in PROJECT["classifiers"] if c.startswith(start)]
    assert badges.pop("Python " + ", ".join(pythons)).endswith(f"/python-{'%20%7C%20'.join(pythons)}-blue")
    license_ = PROJECT["license"]
    assert badges.pop(f"License {license_}").endswith(f"/license-{license_.replace('-', '--')}-blue")
    tests = f"{HOME}/actions/workflows/test.yml"
    assert badges == {"Tests": f"{tests}/badge.svg"}
    assert f"]({tests})" in README
    assert "Apache License" in (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("name", ["bug", "idea"])
def test_an_issue_form_asks_for_something(name):
    form = read(TEMPLATES / f"{name}.yml")
    assert form["name"]
    assert form["description"]
    fields = form["body"]
    assert {field["type"] for field in fields} == {"textarea"}
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)
    assert any(field["validations"]["required"] for field in fields if "validations" in field)


def test_security_problems_are_reported_in_private():
    page = f"{HOME}/security/advisories/new"
    assert page in (ROOT / "SECURITY.md").read_text()
    assert page in (ROOT / "CODE_OF_CONDUCT.md").read_text()
    (link,) = read(TEMPLATES / "config.yml")["contact_links"]
    assert link["url"] == page


@pytest.mark.parametrize("path", PUBLIC, ids=lambda path: path.name)
def test_nothing_names_a_person_or_a_registry(path):
    text = path.read_text()
    assert not re.search(r"[\w.]+@(?!v\d)[\w-]+\.\w+", text)
    assert not re.search(r"pypi\.|pytorch\.org|docker\.io|ghcr\.io|nvcr\.io|quay\.io", text)
    for link in re.findall(r"https?://[^\s)\"]+", text):
        assert link.startswith(HOME), link
