"""The README's commands, typed as they stand in the environment that its two commands leave."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.S)
ROWS = re.findall(r"\| `(python tools/[^`]*)` \|", README)
# What makes minutes of a training seconds.
SMALL = (
    "MODEL.DEVICE cpu MODEL.BACKBONE.PRETRAIN False MODEL.BACKBONE.DEPTH 18x MODEL.BACKBONE.FEAT_DIM 512 "
    "INPUT.SIZE_TRAIN '[32, 16]' INPUT.SIZE_TEST '[32, 16]' SOLVER.IMS_PER_BATCH 8 SOLVER.MAX_EPOCH 1 "
    "SOLVER.WARMUP_ITERS 0 SOLVER.STEPS '()' DATALOADER.NUM_WORKERS 0 SOLVER.AMP.ENABLED False"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".venv/bin/activate").is_file(), reason="make has not made .venv"),
]


def type_in(lines, cwd=ROOT):
    """Run lines in a shell that knows no Python of ours; only a line of the README activates one."""
    env = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)], cwd=cwd, env=env, capture_output=True, text=True, timeout=900
    )


def activation():
    return next(block.strip() for block in BLOCKS if "activate" in block)


def test_its_own_training(market_writer, tmp_path):
    """The block about one's own datasets, on a tiny Market-1501."""
    market_writer(tmp_path / "datasets", ids=8, images=4)
    (block,) = [block for block in BLOCKS if "FASTREID_DATASETS" in block]
    block = block.replace("/path/to/datasets", str(tmp_path / "datasets")).replace(
        "logs/", f"{tmp_path}/logs/"
    )
    lines = [re.sub(r"(train_net\.py .*)", rf"\1 {SMALL}", line) for line in block.splitlines()]
    done = type_in([activation(), *lines])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "logs" / "bot" / "model_best.pth").is_file()


@pytest.mark.parametrize("command", ROWS)
def test_the_papers_commands_start(command):
    """Each of them trains for minutes: here it prints the config that it would train."""
    done = type_in([activation(), f"{command} --show-config"])
    assert done.returncode == 0, done.stderr
    assert "SOLVER:" in done.stdout


def test_the_command_without_words_says_what_there_is():
    done = type_in([activation(), "fastreid-projects", "fastreid-projects --version"])
    assert done.returncode == 0, done.stderr
    for word in ("train", "explain", "AMD", "projects/AMD/configs/demo"):
        assert word in done.stdout


def test_every_block_is_tried():
    assert len(ROWS) == 5
    tried = [
        block for block in BLOCKS if "FASTREID_DATASETS" in block or "activate" in block or "make" in block
    ]
    assert tried == BLOCKS
