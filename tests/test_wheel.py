"""The wheel: what it holds, and its commands and configs in a fresh environment, from another folder."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from fastreid_projects.shipped import all_configs
from tests.shortened import SMALL_MODEL, draw_few, shortened
from tests.yaml_files import ALL

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("fastreid_projects", "projects", "configs", "tools")
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
REPOSITORY = "https://github.com/fastreid-projects/fastreid-projects/"

pytestmark = pytest.mark.slow


def run(*words, cwd, code=0, **env):
    """Run a command that ends with the exit code; return what it printed, of a failure the last line of stderr."""
    done = subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr.strip().splitlines()[-1] if code else done.stdout


def build_wheel(source, folder):
    """Build the wheel of a tree or of a source distribution; return its path."""
    folder.mkdir()
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the packaged files, with leftovers of an earlier build."""
    tree = tmp_path_factory.mktemp("tree") / "with a space"
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for name in KEPT:
        shutil.copytree(ROOT / name, tree / name, ignore=skip)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, tree / name)
    left = tree / "build" / "lib" / "fastreid_projects" / "shipped" / "configs" / "demo" / "moved.yml"
    left.parent.mkdir(parents=True)
    left.touch()
    return tree


@pytest.fixture(scope="module")
def wheel(tree):
    return build_wheel(tree, tree.parent / "dist")


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The command ``fastreid-projects`` of an environment that has this wheel and the packages of ours."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    paths = [sysconfig.get_path("purelib"), *(path for path in sys.path if path.endswith("site-packages"))]
    (Path(purelib.strip()) / "ours.pth").write_text("\n".join(dict.fromkeys(paths)))
    run(*PIP, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    return folder / "venv" / "bin" / "fastreid-projects"


@pytest.fixture(scope="module")
def demo_set(tmp_path_factory):
    """The folder of datasets with a small synthetic demo set."""
    return draw_few(tmp_path_factory.mktemp("datasets"), train_ids=12, test_ids=4)


def names(wheel):
    with zipfile.ZipFile(wheel) as file:
        return {name for name in file.namelist() if ".dist-info/" not in name}


def metadata(wheel):
    with zipfile.ZipFile(wheel) as file:
        (name,) = [name for name in file.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(file.read(name))


def test_it_holds_configs_templates_and_types(wheel):
    found = names(wheel)
    shipped = "fastreid_projects/shipped/"
    configs = {name.removeprefix(shipped) for name in found if name.startswith(shipped)}
    assert configs == {path.relative_to(ROOT).as_posix() for path in ALL}
    templates = {path.name for folder in KEPT for path in (ROOT / folder).rglob("*.jinja")}
    assert {Path(name).name for name in found if name.endswith(".jinja")} == templates
    assert {"fastreid_projects/py.typed", "fastreid_projects/config/host_keys.yml"} <= found
    assert {name.split("/")[0] for name in found} == {"fastreid_projects"}


def test_a_source_distribution_makes_the_same_wheel(tree, wheel, tmp_path):
    run(
        sys.executable,
        "-c",
        f"from setuptools import build_meta as b; b.build_sdist({str(tmp_path)!r})",
        cwd=tree,
    )
    (source,) = tmp_path.glob("*.tar.gz")
    assert names(build_wheel(source, tmp_path / "again")) == names(wheel)


def test_its_page_on_an_index_has_no_relative_links(wheel):
    page = metadata(wheel)
    assert page["Description-Content-Type"] == "text/markdown"
    links = re.findall(r"\]\(([^)\s]+)\)", page.get_payload())
    assert len(links) == len(re.findall(r"\]\(([^)\s]+)\)", (ROOT / "README.md").read_text()))
    ours = [link.removeprefix(REPOSITORY) for link in links if link.startswith(REPOSITORY)]
    assert {"raw/main/docs/images/explanation.png", "blob/main/docs/install.md"} <= set(ours)
    files = [link.split("/main/")[1].partition("#")[0] for link in ours if "/main/" in link]
    assert all((ROOT / name).exists() for name in files)
    assert all(link.startswith("https://") for link in links)


def test_its_metadata_says_who_and_where(wheel):
    page = metadata(wheel)
    assert page["License-Expression"] == "Apache-2.0"
    assert page["License-File"] == "LICENSE"
    assert page["Author"]
    assert f"Homepage, {REPOSITORY[:-1]}" in page.get_all("Project-URL")
    assert {"all", "export", "gradcam"} <= set(page.get_all("Provides-Extra"))


def test_twine_accepts_it(wheel):
    pytest.importorskip("twine")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, cwd=wheel.parent)


def test_it_says_what_there_is(installed, tmp_path):
    assert "configs/demo" in run(installed, cwd=tmp_path)
    where = "import fastreid_projects.amd as a; print(a.__file__)"
    assert str(ROOT) not in run(installed.with_name("python"), "-c", where, cwd=tmp_path)


def test_all_its_configs_are_read(installed, tmp_path):
    """From another folder, by name; ``_BASE_`` leads to the wheel's own files."""
    code = (
        "import pathlib, fastreid_projects.shipped as s; from fastreid_projects.config import load_config\n"
        "for path in s.all_configs(): print(path.name, load_config(path.name).OUTPUT_DIR)"
    )
    read = run(installed.with_name("python"), "-c", code, cwd=tmp_path)
    assert len(read.splitlines()) == len(all_configs())


def test_a_config_is_found_by_an_earlier_name_by_its_path_and_by_another_config(installed, tmp_path):
    """A config of one's own names another in ``_BASE_``, in whatever folder it is."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.yml").write_text("_BASE_: amd_r18_demo.yml\n")
    names = ["amd_demo.yml", "projects/AMD/configs/demo/amd_r18_demo.yml", "mine/own.yml"]
    code = (
        "from fastreid_projects.__main__ import main\n"
        f"for name in {names!r}: assert not main(['train', '--config-file', name, '--show-config'])"
    )
    said = run(installed.with_name("python"), "-c", code, cwd=tmp_path)
    assert said.count("META_ARCHITECTURE: AMD") == len(names)


def test_a_misspelt_config_gets_the_nearest_names(installed, tmp_path):
    last = run(installed, "train", "--config-file", "mpn_r18_dmo.yml", cwd=tmp_path, code=2)
    assert "projects/MPN/configs/demo/mpn_r18_demo.yml" in last
    assert str(installed.parents[1]) not in last


def test_a_config_of_ones_own_is_trained_evaluated_and_exported(installed, tmp_path, market_writer):
    market_writer(tmp_path / "data", ids=8, images=4)
    (tmp_path / "own.yml").write_text("_BASE_: bagtricks_r50_market1501.yml\nOUTPUT_DIR: out\n")
    env = {"FASTREID_DATASETS": str(tmp_path / "data")}
    pairs = shortened("bagtricks_r50_market1501.yml", **SMALL_MODEL)
    run(installed, "train", "--config-file", "own.yml", *pairs, cwd=tmp_path, **env)
    assert (tmp_path / "out" / "run.json").is_file()
    model = ["--config-file", "out/config.yaml", "MODEL.WEIGHTS", "out/model_final.pth"]
    run(installed, "train", *model, "--eval-only", cwd=tmp_path, **env)
    run(installed, "export", *model, "--output", "m.onnx", cwd=tmp_path, **env)
    assert (tmp_path / "m.onnx").is_file()
    without = (
        "import sys; from fastreid_projects.__main__ import main; sys.modules.update(onnx=None, captum=None)"
    )
    image = next((tmp_path / "data").rglob("*.jpg"))
    lines = [["export", *model], ["gradcam", "--images", str(image), *model]]
    code = f"{without}; sys.stderr = sys.stdout; print([main(line) for line in {lines!r}])"
    said = run(installed.with_name("python"), "-c", code, cwd=tmp_path, **env).splitlines()
    assert said[-1] == "[2, 2]"
    for extra in ("export", "gradcam"):
        sentence = f"which is not installed: pip install 'fastreid-projects[{extra}]'"
        assert any(line.endswith(sentence) for line in said), said


def test_the_demo_is_trained_explained_and_exported(installed, tmp_path, demo_set):
    env = {"FASTREID_DATASETS": str(demo_set)}
    pairs = shortened("amd_r18_demo.yml", OUTPUT_DIR="out")
    run(installed, "train", "--config-file", "amd_r18_demo.yml", *pairs, cwd=tmp_path, **env)
    assert (tmp_path / "out" / "report" / "report.html").is_file()
    run(
        installed,
        "export",
        "--config-file",
        "out/config.yaml",
        "MODEL.WEIGHTS",
        "out/model_final.pth",
        cwd=tmp_path,
    )
    assert (tmp_path / "out" / "model.onnx").is_file()
    one, other = sorted((demo_set / "DemoReID" / "query").glob("*.jpg"))[:2]
    words = (
        "explain",
        "--config-file",
        "out/config.yaml",
        "--query",
        one,
        "--gallery",
        other,
        "--output",
        "why",
    )
    run(installed, *words, cwd=tmp_path, **env)
    assert list((tmp_path / "why").glob("*.html"))
