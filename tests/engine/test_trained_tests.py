"""Training on the test people is warned of and marked in run.json."""

import json

import pytest

from fastreid_projects.data.datasets import trained_tests
from fastreid_projects.engine.main import main
from fastreid_projects.plugins import get_cfg

MODEL = ["MODEL.BACKBONE.DEPTH", "18x", "MODEL.BACKBONE.FEAT_DIM", "512", "MODEL.DEVICE", "cpu"]
OPTS = ["DATALOADER.NUM_WORKERS", "0", "INPUT.SIZE_TRAIN", "[32, 16]", "INPUT.SIZE_TEST", "[32, 16]"]
OPTS += ["SOLVER.IMS_PER_BATCH", "8", "SOLVER.MAX_EPOCH", "1", "SOLVER.WARMUP_ITERS", "0"]


@pytest.mark.parametrize("combined", ["True", "False"])
def test_combineall(combined, tiny_market, tmp_path, monkeypatch, capsys):
    tiny_market()
    monkeypatch.chdir(tmp_path)
    assert main([*MODEL, *OPTS, "DATASETS.COMBINEALL", combined, "OUTPUT_DIR", "out"]) == 0
    said = "trains on the query and gallery people of Market1501" in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert said == (combined == "True")
    assert record.get("trained_tests", []) == (["Market1501"] if said else [])
    weights = ["MODEL.WEIGHTS", "out/model_final.pth", "OUTPUT_DIR", "out"]
    assert main(["--eval-only", *MODEL, *OPTS, *weights]) == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["training"].get("trained_tests", []) == (["Market1501"] if said else [])


def test_other_peoples_tests_are_tests():
    cfg = get_cfg()
    cfg.DATASETS.COMBINEALL = True
    cfg.DATASETS.NAMES = ("Market1501", "SmallVehicleID")
    cfg.DATASETS.TESTS = ("DukeMTMC", "Market1501MultiQuery", "LargeVehicleID", "DemoReID")
    assert trained_tests(cfg) == ["Market1501MultiQuery", "LargeVehicleID"]
