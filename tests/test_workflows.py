"""The workflows run the Makefile's targets on the Pythons and PyTorches that the project names."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):(?!=)", MAKEFILE, re.M))
VARIABLES = set(re.findall(r"^([A-Z_]+) *[:?]?=", MAKEFILE, re.M)) | set(
    re.findall(r"\$\(if \$\((\w+)\)", MAKEFILE)
)
VARIABLES |= set(re.findall(r"^ifdef (\w+)", MAKEFILE, re.M))
ACTIONS = r"actions/(checkout|setup-python|upload-artifact|download-artifact)@v\d+"


def workflow(path):
    """Return the YAML of a workflow; its key ``on`` is True in YAML 1.1."""
    return yaml.safe_load(path.read_text())


def steps(path):
    return [step for job in workflow(path)["jobs"].values() for step in job.get("steps", ())]


def runs(path):
    """Every line of a workflow that a shell runs."""
    return [line for step in steps(path) for line in step.get("run", "").splitlines()]


def test_each_purpose_has_its_workflow():
    assert [path.stem for path in WORKFLOWS] == ["docs", "lint", "release", "test", "wheel"]
    for path in WORKFLOWS:
        assert workflow(path)["name"] == path.stem


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_starts_by_itself_and_may_only_read(path):
    content = workflow(path)
    assert content[True].get("push")
    assert content["permissions"] == {"contents": "read"}
    for name, job in content["jobs"].items():
        assert job.get("permissions", {"contents": "read"}) == {"contents": "read"} or name == "release"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_uses_what_there_is(path):
    content = workflow(path)
    for step in steps(path):
        assert ("run" in step) != ("uses" in step)
        assert re.fullmatch(ACTIONS, step.get("uses", "actions/checkout@v5"))
    for job in content["jobs"].values():
        assert (ROOT / job.get("uses", "Makefile")).is_file()
        assert set([job["needs"]] if "needs" in job else []) <= set(content["jobs"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_make_knows_every_target_and_variable(path):
    """An expression of GitHub counts as one word."""
    for line in runs(path):
        words = shlex.split(re.sub(r"\$\{\{.*?\}\}", "x", line))
        if words[0] == "make":
            names = {word.partition("=")[0] for word in words[1:] if "=" in word}
            assert names <= VARIABLES, line
            assert {word for word in words[1:] if "=" not in word} <= TARGETS, line


def test_what_is_tested_and_checked_is_what_make_tests_and_checks():
    assert runs(GITHUB / "workflows" / "test.yml")[-1] == "make test"
    assert runs(GITHUB / "workflows" / "lint.yml")[-1] == "make check"
    assert any(line.startswith("make docs ") for line in runs(GITHUB / "workflows" / "docs.yml"))
    assert "make dist RUN=python" in runs(GITHUB / "workflows" / "wheel.yml")


def matrix():
    (job,) = workflow(GITHUB / "workflows" / "test.yml")["jobs"].values()
    return job["strategy"]["matrix"]


def test_the_pythons_are_those_of_the_classifiers():
    start = "Programming Language :: Python :: "
    supported = [
        c.removeprefix(start) for c in PROJECT["project"]["classifiers"] if c.startswith(start + "3.")
    ]
    assert matrix()["python"] == supported
    assert PROJECT["project"]["requires-python"] == f">={supported[0]}"
    assert {e["python"] for e in matrix()["include"]} == {supported[0]}
    for path in WORKFLOWS:
        for step in steps(path):
            version = step.get("with", {}).get("python-version", supported[0])
            assert version in (*supported, "${{ matrix.python }}")


def test_the_newest_pytorch_is_the_pinned_and_the_oldest_the_least_that_is_asked_for():
    pinned = re.findall(r"^torch(?:vision)?==[\d.]+", (ROOT / "requirements.txt").read_text(), re.M)
    assert matrix()["torch"] == [" ".join(pinned)]
    asked = {r.name: str(r.specifier) for r in map(Requirement, PROJECT["project"]["dependencies"])}
    oldest = [f"{name}{asked[name].replace('>=', '==')}.0" for name in ("torch", "torchvision")]
    assert [entry["torch"] for entry in matrix()["include"]] == [" ".join(oldest)]


def test_the_tools_of_a_release_are_those_of_its_extra():
    (line,) = [line for line in runs(GITHUB / "workflows" / "wheel.yml") if "twine" in line]
    wanted = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["optional-dependencies"]["release"]]
    assert shlex.split(line) == ["python", "-m", "pip", "install", *wanted]


def test_a_release_attaches_what_the_wheels_workflow_has_checked():
    content = workflow(GITHUB / "workflows" / "release.yml")
    assert content[True] == {"push": {"tags": ["v*"]}}
    assert content["jobs"]["release"]["needs"] == "wheel"
    (built,) = [s["with"] for s in steps(GITHUB / "workflows" / "wheel.yml") if "upload" in s.get("uses", "")]
    (taken,) = [
        s["with"] for s in steps(GITHUB / "workflows" / "release.yml") if "download" in s.get("uses", "")
    ]
    assert (taken["name"], taken["path"]) == (built["name"], built["path"])
    assert "workflow_call" in workflow(GITHUB / "workflows" / "wheel.yml")[True]
