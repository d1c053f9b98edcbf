"""A command that trains a tiny model on a dataset within a second."""

import json
import shlex

import pytest

from tests.conftest import build_tiny_backbone

OPTIONS = """
MODEL.BACKBONE.NAME build_tiny_backbone MODEL.BACKBONE.FEAT_DIM 16 MODEL.HEADS.WITH_BNNECK True MODEL.DEVICE cpu
DATALOADER.NUM_WORKERS 0 INPUT.SIZE_TRAIN [32,16] INPUT.SIZE_TEST [32,16] SOLVER.IMS_PER_BATCH 8 SOLVER.MAX_EPOCH 1
SOLVER.WARMUP_ITERS 0 SEED 1
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run ``train_net.py`` on a dataset below ``tmp_path/data`` -> run.json; more arguments are options and pairs."""
    from fastreid.modeling.backbones import BACKBONE_REGISTRY

    from fastreid_projects.engine.main import main

    if build_tiny_backbone.__name__ not in BACKBONE_REGISTRY._obj_map:
        BACKBONE_REGISTRY.register(build_tiny_backbone)
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def run(train, *argv, test=None, output="logs", code=0):
        options = [word for word in argv if word.startswith("--")]
        pairs = [
            "DATASETS.NAMES",
            f"('{train}',)",
            "DATASETS.TESTS",
            f"('{test or train}',)",
            "OUTPUT_DIR",
            output,
        ]
        pairs += [word for word in argv if not word.startswith("--")]
        assert main([*options, *shlex.split(OPTIONS), *pairs]) == code
        return json.loads((tmp_path / output / "run.json").read_text()) if code == 0 else None

    return run
