"""Killed at random moments, each stage of AMD, MPN and SAL comes to what an uninterrupted run does, bit for bit.

Each stage is killed once; KILLS=20 kills it twenty times, SIGNAL=SIGINT or SIGTERM interrupts it instead (minutes).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from fastreid_projects.engine.main import main
from tests.engine import kill_driver

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("KILLS", "1"))
SIGNAL = os.environ.get("SIGNAL", "SIGKILL")


def test_a_killed_training_comes_to_the_same(tmp_path):
    words = [str(tmp_path), *kill_driver.PROJECTS, "--kills", str(KILLS), "--signal", SIGNAL]
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.kill_driver", *words, "--seed", os.environ.get("SEED", "0")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1800 + 180 * KILLS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [project for project in kill_driver.PROJECTS if found[project]["different"] != []] == [], found
    assert all(min(result["kills"].values()) >= KILLS for result in found.values()), found


def test_values_that_differ_are_found(tmp_path):
    """The comparison above can fail."""
    import torch

    a = {"model": {"w": torch.ones(2)}, "list": [1, {"x": 2}]}
    assert kill_driver.unequal(a, {"model": {"w": torch.ones(2)}, "list": [1, {"x": 2}]}) == []
    assert kill_driver.unequal(a, {"model": {"w": torch.zeros(2)}, "list": [1, {"x": 3}]}) == [
        ".model.w",
        ".list.1.x",
    ]


def test_a_full_disk_ends_a_run_in_one_sentence(tmp_path, tiny_market, monkeypatch, capsys):
    import errno

    from fastreid.utils.events import JSONWriter

    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    tiny_market(ids=4, images=3, size=(32, 64))
    monkeypatch.setattr(JSONWriter, "write", full)
    out = tmp_path / "out"
    words = ["--config-file", str(ROOT / "configs/demo/bagtricks_r18_demo.yml"), "MODEL.DEVICE", "cpu"]
    words += [
        "DATASETS.NAMES",
        "('Market1501',)",
        "DATASETS.TESTS",
        "('Market1501',)",
        "SOLVER.MAX_EPOCH",
        "1",
        "SOLVER.STEPS",
        "[]",
    ]
    words += ["SOLVER.IMS_PER_BATCH", "8", "DATALOADER.NUM_WORKERS", "0", "OUTPUT_DIR", str(out)]
    assert main([*words, "INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]"]) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith(f"error: no room to write {out}")
    assert not list(out.glob(".*.part"))
    assert not (out / "run.json").exists()
