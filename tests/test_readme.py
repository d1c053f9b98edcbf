"""The README's commands, run unchanged in the environment that its two install commands create."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from fastreid_projects.commands.table import commands
from tests.docs.pages import Block
from tests.docs.typing_in import reading
from tests.shortened import SMALL_MODEL, draw_few, shortened

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
(PYTHON, _) = re.findall(
    r"```python\n(.*?)```", README, re.S
)  # tests/test_features_page.py runs the other one
FENCE = re.compile(r"```sh\n(.*?)```", re.S)
BLOCKS = FENCE.findall(README)
INLINE = re.findall(r"`((?:python tools/|fastreid-projects)[^`]*)`", FENCE.sub("", README))
TRAIN_LINES = [line for line in INLINE if line.startswith("python tools/train_net.py --config-file")]
BY_NAME = "fastreid-projects train --config-file amd_r18_demo.yml"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ROOT / ".venv/bin/fastreid-projects").is_file(), reason="make has not made .venv"
    ),
]


@pytest.fixture(scope="module")
def demo_set(tmp_path_factory):
    """The folder of datasets with a small synthetic demo set."""
    return draw_few(tmp_path_factory.mktemp("datasets"), train_ids=12, test_ids=4)


def type_in(lines, **env):
    """Run lines in a shell without this Python, after the README's line that activates one."""
    (activate,) = [block.strip() for block in BLOCKS if "activate" in block]
    env |= {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "OMP_NUM_THREADS": "1"}
    words = ["bash", "-e", "-c", "\n".join([activate, *lines])]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


def short(line, **more):
    """Return the line with pairs that make seconds of its training."""
    config = re.search(r"--config-file (\S+)", line)
    return f"{line} {shlex.join(shortened(config[1], **more))}" if config else line


def test_the_lines_of_python(demo_set, tmp_path, monkeypatch):
    """On the run that ``make demo`` leaves, here of one epoch; at a rate that the few pairs can tell."""
    lines = [line for line in PYTHON.splitlines() if line and not line.startswith("from ")]
    assert len(lines) == 5
    with reading(tmp_path, demo_set, monkeypatch) as reader:
        train = ["fastreid-projects", "train", "--config-file", "projects/AMD/configs/demo/amd_r18_demo.yml"]
        reader.type_in(train)
        pictures = sorted(Path("datasets", "DemoReID", "query").glob("*.jpg"))[:2]
        for name, picture in zip(("a.jpg", "b.jpg"), pictures, strict=True):
            shutil.copy(picture, name)
        reader.follow(Block("python", PYTHON.replace("rate=0.01", "rate=0.5"), False), "README.md")
        names = reader.names
    assert names["features"].shape[0] == 2
    assert names["match"].distance >= 0
    assert "of one person" in names["pair"].answer.sentence
    assert names["pair"].ranked[0].phrase


def test_its_own_training(market_writer, tmp_path):
    """The block about one's own datasets, on a tiny Market-1501."""
    market_writer(tmp_path / "datasets", ids=8, images=4)
    (block,) = [block for block in BLOCKS if "FASTREID_DATASETS" in block]
    block = block.replace("/path/to/datasets", str(tmp_path / "datasets")).replace(
        "logs/", f"{tmp_path}/logs/"
    )
    type_in([short(line, **SMALL_MODEL) for line in block.splitlines()])
    assert (tmp_path / "logs" / "bot" / "model_best.pth").is_file()


@pytest.mark.parametrize("line", TRAIN_LINES, ids=lambda line: Path(line.split()[-1]).stem)
def test_the_papers_commands_train(line, demo_set, tmp_path):
    """Each of them, for one epoch on a few of the demo's people."""
    line = short(line, OUTPUT_DIR=str(tmp_path))
    assert "mAP" in type_in([line], FASTREID_DATASETS=str(demo_set))
    assert (tmp_path / "run.json").is_file()


def test_a_config_is_found_by_name_from_another_folder(tmp_path):
    assert BY_NAME in INLINE
    assert "META_ARCHITECTURE: AMD" in type_in([f"cd {tmp_path}", f"{BY_NAME} --show-config"])


def test_the_command_without_words_says_what_there_is():
    said = type_in(["fastreid-projects", "fastreid-projects --version"])
    for word in (*commands(), "AMD", "projects/AMD/configs/demo"):
        assert word in said


def test_the_doctor_finds_the_environment_sound():
    assert "fastreid-projects doctor" in INLINE
    said = type_in(["fastreid-projects doctor"])
    assert "weights moved" in said
    assert "to fix" not in said


def test_every_command_of_it_is_tried():
    assert len(TRAIN_LINES) == 6
    tried = [block for block in BLOCKS if re.search("FASTREID_DATASETS|activate|make", block)]
    assert tried == BLOCKS
    known = {BY_NAME, "fastreid-projects", "fastreid-projects train", "fastreid-projects doctor"}
    others = set(INLINE) - {*TRAIN_LINES, *known, "python tools/train_net.py"}
    # tests/test_features_page.py and tests/visualization/test_gradcam.py run these
    assert {line.split()[1] for line in others} == {"search", "threshold", "gradcam", "explain"}
