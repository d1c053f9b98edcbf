"""requirements.txt pins what pyproject.toml asks for; docs/install.md leaves CUDA out of it."""

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES, DOCS_LINES = (
    [line for line in (ROOT / name).read_text().splitlines() if line and line[0] != "#"]
    for name in ("requirements.txt", "requirements-docs.txt")
)
PAGE = (ROOT / "docs" / "install.md").read_text()
# Not installed by make: a release's tools, masks by BlazePose, and trackers.
ASKED_FOR_ALONE = {"release", "blazepose", "trackers"}


def pins(lines):
    """Name -> version, of a requirement for each line."""
    found = map(Requirement, lines)
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in found}


def test_all_that_is_asked_for_is_pinned_within_its_bounds():
    pinned = pins(LINES) | pins(DOCS_LINES)
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(r for e in extras if e not in ASKED_FOR_ALONE for r in extras[e])]
    for requirement in map(Requirement, wanted):
        if requirement.name != PROJECT["name"]:
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_everything_is_pinned_once():
    assert all(
        Requirement(line).specifier and str(Requirement(line).specifier).startswith("==")
        for line in (*LINES, *DOCS_LINES)
    )
    assert len(pins(LINES) | pins(DOCS_LINES)) == len(LINES) + len(DOCS_LINES)


def test_what_the_documents_need_needs_nothing_that_is_not_pinned():
    """make installs requirements-docs.txt with --no-deps."""
    pinned = pins(LINES) | pins(DOCS_LINES)
    for name in pins(DOCS_LINES):
        pytest.importorskip("mkdocs")
        for requirement in map(Requirement, importlib.metadata.requires(name) or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                version = pinned[canonicalize_name(requirement.name)]
                assert requirement.specifier.contains(version), f"{name}: {requirement}"


def test_the_way_without_cuda_leaves_out_cuda_alone():
    (way,) = re.findall(r"^(grep .* requirements\.txt) \|.*?(faiss-cpu==\S+)$", PAGE, re.M)
    done = subprocess.run(
        ["bash", "-c", way[0]], cwd=ROOT, capture_output=True, text=True, timeout=600, check=True
    )
    kept = pins(line for line in done.stdout.splitlines() if line and line[0] != "#")
    left_out = set(pins(LINES)) - set(kept)
    cuda = {name for name in pins(LINES) if name.startswith(("nvidia-", "cuda-"))}
    assert left_out == {"torch", "torchvision", "triton", "faiss-gpu", "faiss-cpu", *cuda}
    assert len(cuda) > 10
    assert way[1] == f"faiss-cpu=={pins(LINES)['faiss-cpu']}"


@pytest.mark.parametrize("package", ["torch", "torchvision"])
def test_the_page_names_the_pinned_versions(package):
    assert set(re.findall(rf"\b{package}==([\d.]+)", PAGE)) == {pins(LINES)[package]}


def test_the_page_names_every_extra_for_users():
    for extra in set(PROJECT["optional-dependencies"]) - {"dev", "docs", "release"}:
        assert f"`{extra}`" in PAGE
