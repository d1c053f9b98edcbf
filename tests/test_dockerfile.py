"""The Dockerfile copies what its steps need, and its steps are those of docs/install.md."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from fastreid_projects.commands.table import commands as all_commands
from fastreid_projects.shipped import all_configs

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "install.md").read_text()
TEXT = re.sub(r"\\\n|^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M)
STEPS = [tuple(line.split(maxsplit=1)) for line in TEXT.splitlines() if line]
SECTION = PAGE.partition("## In a container")[2]
BUILDS, STARTS = re.findall(r"```sh\n(.*?)```", SECTION.replace("\\\n", " "), re.S)
INDEX = "https://example.org/cpu"


def of(kind):
    return [rest for name, rest in STEPS if name == kind]


def copied(before=""):
    """Names that are copied, up to the step that runs ``before``."""
    names = []
    for kind, rest in STEPS:
        if kind == "RUN" and before and rest.startswith(before):
            break
        names += shlex.split(rest)[:-1] if kind == "COPY" else []
    return names


@pytest.fixture
def context(tmp_path):
    """A factory: the folder that a step of the image sees."""

    def make(before=""):
        for name in copied(before):
            source, target = ROOT / name, tmp_path / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy(source, target)
        return tmp_path

    return make


def made(folder, step, **arguments):
    """Return the commands that ``make`` would run for a step with build arguments."""
    script = "set -eu\n" + step.replace("make ", "make --no-print-directory -n ", 1)
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "WITHOUT_CUDA": "", "TORCH_CPU": "", **arguments}
    words = ["sh", "-c", script]
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=True)
    return [line.strip() for line in done.stdout.replace("\\\n", " ").splitlines()]


def by_hand(title):
    """Return the commands of install.md's first block under a title that makes an environment."""
    section = PAGE.partition(title)[2]
    (block,) = re.findall(r"```sh\n(python3\.11 -m venv .*?)```", section, re.S)[:1]
    return [line for line in block.splitlines() if "pip install" in line]


def plain(lines):
    """Return the commands that install, without what makes pip quiet."""
    quiet = " --quiet --disable-pip-version-check"
    return [
        line.replace(quiet, "")
        for line in lines
        if "pip" in line and " install " in line and "error" not in line
    ]


def test_everything_that_is_copied_exists_and_is_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {"Makefile", "requirements.txt", "setup.py", "fastreid_projects", "projects"} <= set(copied())
    for name in copied():
        assert (ROOT / name).exists(), name
        assert not any(fnmatch(name, pattern) for pattern in ignored), name
    for line in of("COPY"):
        *sources, target = shlex.split(line)
        assert target == "./" or sources == [target]


def test_the_base_image_has_the_pages_python():
    (base,) = of("FROM")
    version = re.fullmatch(r"python:([\d.]+)-slim", base)
    assert version, base
    (step,) = [step for step in of("RUN") if "make packages" in step]
    assert f"PYTHON=python{version[1]}" in step
    assert set(re.findall(r"^python([\d.]+) -m venv", PAGE, re.M)) == {version[1]}


def test_the_packages_are_those_of_the_page(context):
    folder = context("make packages")
    (step,) = [step for step in of("RUN") if "make packages" in step]
    assert plain(made(folder, step)) == by_hand("# Installing")[:-1]
    index = made(folder, step, WITHOUT_CUDA="1", TORCH_CPU=INDEX)
    assert plain(index) == [line.replace("$TORCH_CPU", INDEX) for line in by_hand("## Without CUDA")[:-1]]


def test_an_install_by_make_ends_as_the_page_does(context):
    folder = context()
    (folder / ".venv").mkdir()
    (folder / ".venv" / ".packages").touch()
    assert (
        plain(made(folder, "make install")) == by_hand("# Installing")[-1:] == by_hand("## Without CUDA")[-1:]
    )


def test_a_change_of_the_package_alone_installs_no_packages_again(context):
    """What keeps the layer of the packages, and spares a developer minutes."""
    folder = context()
    (folder / ".venv").mkdir()
    for age, name in enumerate(("setup.py", ".venv/.installed", ".venv/.packages", "requirements.txt")):
        (folder / name).touch()
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    assert len(plain(made(folder, "make install"))) == 1


@pytest.mark.slow
def test_what_is_copied_suffices_to_install_the_package(context, tmp_path_factory):
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", target, context()]
    subprocess.run([*pip, *options], timeout=900, check=True, capture_output=True)
    assert (target / "fastreid_projects" / "amd").is_dir()
    assert (target / "fastreid_projects" / "shipped" / "configs").is_dir()


def test_the_page_builds_with_the_arguments_that_there_are():
    arguments = [line.partition("=")[0] for line in of("ARG")]
    assert arguments == ["WITHOUT_CUDA", "TORCH_CPU"]
    assert not any(
        "=" in line for line in of("ARG")
    )  # no default: the page says where the index's address is
    for line in BUILDS.splitlines():
        words = shlex.split(line)
        assert words[:2] == ["docker", "build"]
        assert words[-1] == "."
        given = [words[i + 1].partition("=")[0] for i, word in enumerate(words) if word == "--build-arg"]
        assert given in ([], arguments)


def test_the_page_starts_what_was_built_with_commands_of_ours():
    tags = set(re.findall(r"--tag (\S+)", BUILDS))
    assert of("ENTRYPOINT") == ['["fastreid-projects"]']
    (environment,) = [line for line in of("ENV") if "PATH" in line]
    (folder,) = of("WORKDIR")
    assert f"PATH={folder}/.venv/bin:" in environment
    for line in STARTS.splitlines():
        words = shlex.split(line)
        at = next(i for i, word in enumerate(words) if word in tags)
        assert words[at + 1] in all_commands()
        assert words[-1] in {Path(name).name for name in all_configs()}
        mounts = {words[i + 1].rpartition(":")[2] for i, word in enumerate(words) if word == "--volume"}
        assert mounts == {"/datasets", f"{folder}/logs"}
    assert "FASTREID_DATASETS=/datasets" in environment
