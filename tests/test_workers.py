"""A script without ``if __name__ == "__main__"`` may start workers: none of them runs the script again."""

import os
import subprocess
import sys

import pytest

from tests.yaml_files import config_file

POOL = """
from concurrent.futures import ProcessPoolExecutor
import sys
from fastreid_projects.workers import WorkerContext
print("once")
main = sys.modules["__main__"]
before = main.__file__, main.__spec__
with ProcessPoolExecutor(2, WorkerContext()) as pool:
    print(sorted(pool.map(abs, [-1, -2, -3])))
print((main.__file__, main.__spec__) == before)
"""
# A small synthetic demo set in chunks, of which two workers get some; one that ran this would wait forever.
TRAINING = """
from fastreid_projects.config import load_config
from fastreid_projects.data.demo import DemoSpec, build, dataset
from fastreid_projects.engine.trainer import Trainer
print("once")
build._CHUNK, build.os.cpu_count = 8, lambda: 2
dataset.DemoReID.spec = DemoSpec(train_ids=4, test_ids=4, distractors=8, junk=3)
cfg = load_config(CONFIG, "MODEL.DEVICE cpu MODEL.BACKBONE.PRETRAIN False SOLVER.MAX_EPOCH 1 SOLVER.STEPS [] "
    "SOLVER.WARMUP_ITERS 0 "
    "SOLVER.IMS_PER_BATCH 8 DATALOADER.NUM_INSTANCE 2 INPUT.SIZE_TRAIN [64,32] INPUT.SIZE_TEST [64,32] "
    "DATALOADER.NUM_WORKERS 2".split())
print(Trainer(cfg).train()["mAP"])
"""


@pytest.fixture
def run_script(tmp_path):
    """Run code as a script in its own folder, or by other words for the interpreter."""

    def run(code, *words):
        (tmp_path / "own.py").write_text(code)
        return subprocess.run(
            [sys.executable, "-W", "ignore", *(words or ["own.py"])],
            capture_output=True,
            text=True,
            timeout=600,
            cwd=tmp_path,
            env={**os.environ, "FASTREID_DATASETS": "data", "OMP_NUM_THREADS": "1"},
        )

    return run


@pytest.mark.parametrize("words", [(), ("-m", "own")], ids=["file", "module"])
def test_a_worker_does_not_run_the_script(run_script, words):
    done = run_script(POOL, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["once", "[1, 2, 3]", "True"]


@pytest.mark.slow
def test_a_script_draws_the_demo_set_and_trains(run_script):
    config = str(config_file("fidi_bagtricks_r18_demo"))
    done = run_script(TRAINING.replace("CONFIG", repr(config)))
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first == "once"
    assert done.stdout.splitlines().count("once") == 1
    assert 0 <= float(last) <= 100
