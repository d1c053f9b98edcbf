"""The wheel, installed in an environment of its own: commands and configs from another folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("fastreid_projects", "projects", "configs", "tools")
SMALL = [
    *("MODEL.DEVICE", "cpu", "INPUT.SIZE_TRAIN", "[32, 16]", "INPUT.SIZE_TEST", "[32, 16]"),
    *("SOLVER.IMS_PER_BATCH", "8", "SOLVER.MAX_EPOCH", "1", "SOLVER.WARMUP_ITERS", "0", "SOLVER.STEPS", "()"),
    *(
        "DATASETS.NAMES",
        "('Market1501',)",
        "DATASETS.TESTS",
        "('Market1501',)",
        "DATALOADER.NUM_WORKERS",
        "0",
    ),
    *("OUTPUT_DIR", "out"),
]

pytestmark = pytest.mark.slow


def run(*words, cwd, **env):
    done = subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The command ``fastreid-projects`` of an environment that has this wheel and the packages of ours."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for name in KEPT:
        shutil.copytree(ROOT / name, tree / name, ignore=skip)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, tree / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, tree, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    own = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    paths = [sysconfig.get_path("purelib"), *(path for path in sys.path if path.endswith("site-packages"))]
    (own / "ours.pth").write_text("\n".join(dict.fromkeys(paths)))
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    return folder / "venv" / "bin" / "fastreid-projects"


@pytest.fixture
def elsewhere(tmp_path, market_writer):
    market_writer(tmp_path / "data", ids=8, images=4)
    return tmp_path


def test_it_says_what_there_is(installed, elsewhere):
    said = run(installed, cwd=elsewhere)
    assert "configs/demo" in said
    assert str(ROOT) not in run(
        installed.with_name("python"),
        "-c",
        "import fastreid_projects.amd as a; print(a.__file__)",
        cwd=elsewhere,
    )


@pytest.mark.parametrize(
    "name", ["amd_demo.yml", "amd_r18_demo", "projects/AMD/configs/demo/amd_r18_demo.yml"]
)
def test_a_config_is_found_by_name_and_by_its_path(installed, elsewhere, name):
    assert "META_ARCHITECTURE: AMD" in run(
        installed, "train", "--config-file", name, "--show-config", "all", cwd=elsewhere
    )


def test_it_trains_evaluates_and_exports_from_another_folder(installed, elsewhere):
    env = {"FASTREID_DATASETS": str(elsewhere / "data")}
    run(installed, "train", "--config-file", "bagtricks_r18_demo.yml", *SMALL, cwd=elsewhere, **env)
    assert (elsewhere / "out" / "run.json").is_file()
    weights = ["MODEL.WEIGHTS", "out/model_final.pth"]
    run(installed, "train", "--config-file", "out/config.yaml", "--eval-only", *weights, cwd=elsewhere, **env)
    run(
        installed,
        "export",
        "--config-file",
        "out/config.yaml",
        *weights,
        "--output",
        "m.onnx",
        cwd=elsewhere,
        **env,
    )
    assert (elsewhere / "m.onnx").is_file()
