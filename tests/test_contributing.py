"""CONTRIBUTING.md's recipes, followed to the letter in a copy of this project, end in training runs."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shortened import draw_few

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.S | re.M)
# The last file that is named before a block: a new one, or with ", in `NAME`" or ", at its end" one that is added to.
PLACE = re.compile(r"`([\w./]+\.\w+)`(?:, (at its end|in `(\w+)`))?")
SMALL = [
    *("MODEL.DEVICE", "cpu", "INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]"),
    *("SOLVER.IMS_PER_BATCH", "8", "SOLVER.MAX_EPOCH", "1", "SOLVER.WARMUP_ITERS", "0", "SOLVER.STEPS", "[]"),
    *("DATALOADER.NUM_WORKERS", "0", "TEST.EVAL_PERIOD", "1", "SOLVER.CHECKPOINT_PERIOD", "1"),
]


def recipe(title):
    """The blocks of a section, each with the text before it."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", GUIDE, re.S | re.M)
    parts = FENCE.split(section)
    return list(zip(parts[0::3], parts[1::3], parts[2::3], strict=False))


def write(root, before, text):
    """Do what a recipe says of a block."""
    name, how, anchor = PLACE.findall(before)[-1]
    path = root / name
    if not how:
        assert not path.exists(), name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    elif how == "at its end":
        path.write_text(path.read_text() + text)
    else:
        content = path.read_text()
        (line,) = re.findall(rf"^{anchor}\b.*\n", content, re.M)
        path.write_text(content.replace(line, line + text))
    return path


def ignored(folder, names):
    """What of this checkout is not a part of the project."""
    own = {".git", ".venv", "logs", "datasets", "build"} if Path(folder) == ROOT else set()
    return {name for name in names if name in own or name.endswith((".egg-info", "_cache", "__pycache__"))}


class Copy:
    """A copy of this project in a new environment."""

    def __init__(self, folder):
        self.folder = folder / "copy"
        shutil.copytree(ROOT, self.folder, ignore=ignored, symlinks=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.folder / ".venv"], check=True)
        self.python = str(self.folder / ".venv" / "bin" / "python")
        (site,) = self.folder.glob(".venv/lib/python*/site-packages")
        outer = [path for path in sys.path if path.endswith("-packages")]
        (site / "outer.pth").write_text("\n".join(outer))
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "OMP_NUM_THREADS": "1",
            "FASTREID_DATASETS": str(draw_few(folder / "datasets")),
        }
        self.install()

    def install(self):
        """What ``make install`` does where all packages are there."""
        words = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
        self.run(self.python, "-m", "pip", *words, "--ignore-installed", "--editable", ".")

    def run(self, *words):
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def follow(self, title):
        """Write the files of a recipe, then run its commands; training runs are made small."""
        blocks = recipe(title)
        paths = [write(self.folder, before, text) for before, kind, text in blocks if kind != "sh"]
        self.run(self.python, "-m", "ruff", "check", *(str(path) for path in paths if path.suffix == ".py"))
        for kind, text in (block[1:] for block in blocks):
            for line in text.replace("\\\n", " ").splitlines() if kind == "sh" else ():
                self.command(shlex.split(line))

    def command(self, words):
        if words == ["make", "install"]:
            self.install()
            return
        assert words[0] == "python", words
        self.run(self.python, *words[1:], *(SMALL if "tools/train_net.py" in words else ()))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return Copy(tmp_path_factory.mktemp("contributing"))


def record(copy, folder):
    return json.loads((copy.folder / folder / "run.json").read_text())


def test_a_loss(copy):
    copy.follow("Adding a loss")
    assert "loss_centroid" in (copy.folder / "logs" / "centroid" / "metrics.json").read_text()
    assert "CentroidLoss" in record(copy, "logs/centroid")["config"]


def test_a_loss_outside_of_the_repository(copy):
    copy.follow("A loss outside of this repository")
    assert "loss_length" in (copy.folder / "logs" / "my_loss" / "metrics.json").read_text()
    (plugin,) = record(copy, "logs/my_loss")["plugins"]
    assert plugin["path"] == str(copy.folder / "my_loss.py")


def test_a_paper(copy):
    copy.follow("Adding a paper")
    assert "META_ARCHITECTURE: Stripes" in record(copy, "logs/demo/stripes_r18")["config"]
    rules = "setup or own_node or init or way or paper or names_are or core or machine"
    copy.run(copy.python, "-m", "pytest", "-q", "-n", "0", "tests/test_house.py", "-k", rules)
