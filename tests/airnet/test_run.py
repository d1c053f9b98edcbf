"""AIR-Net by the command: train, resume, evaluate, and report what is wrong."""

import json

import pytest
import torch

from fastreid_projects.engine.main import main
from tests.conftest import write_market
from tests.yaml_files import config_file

SMALL = [
    *(
        "DATASETS.NAMES",
        "('Market1501',)",
        "DATASETS.TESTS",
        "('Market1501',)",
        "DATALOADER.NUM_WORKERS",
        "0",
    ),
    *(
        "SOLVER.IMS_PER_BATCH",
        "8",
        "SOLVER.WARMUP_EPOCHS",
        "0",
        "SOLVER.MAX_EPOCH",
        "2",
        "SOLVER.STEPS",
        "[1]",
        "TEST.EVAL_PERIOD",
        "2",
    ),
    *("INPUT.SIZE_TRAIN", "[32, 32]", "INPUT.SIZE_TEST", "[32, 32]", "MODEL.DEVICE", "cpu"),
    *("SOLVER.CHECKPOINT_PERIOD", "1", "MODEL.BACKBONE.WITH_IBN", "True"),
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A factory: the demo config on a tiny Market-1501, into a folder; returns the exit code."""
    write_market(tmp_path / "data", ids=4, test_ids=3, cameras=2, images=3, size=(32, 64))
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "data"))

    def make(folder, *words):
        flags = [word for word in words if word.startswith("--")]
        opts = [word for word in words if not word.startswith("--")]
        config = str(config_file("airnet_r18_demo.yml"))
        return main(["--config-file", config, *flags, *SMALL, "OUTPUT_DIR", str(tmp_path / folder), *opts])

    return make


def record(folder):
    return json.loads((folder / "run.json").read_text())["metrics"]


def test_trains_resumes_and_evaluates(run, tmp_path):
    assert run("straight") == 0
    assert run("parts", "SOLVER.MAX_EPOCH", "1", "SOLVER.STEPS", "[]") == 0
    assert run("parts", "--resume") == 0
    states = [torch.load(tmp_path / f / "model_final.pth", weights_only=True) for f in ("straight", "parts")]
    assert [state["epoch"] for state in states] == [1, 1]
    assert states[0]["model"].keys() == states[1]["model"].keys()
    assert record(tmp_path / "parts").keys() == record(tmp_path / "straight").keys()

    metrics = record(tmp_path / "straight")
    weights = str(tmp_path / "straight" / "model_final.pth")
    again = ["--config-file", str(tmp_path / "straight" / "config.yaml"), "--eval-only"]
    assert main([*again, "MODEL.WEIGHTS", weights, "OUTPUT_DIR", str(tmp_path / "again")]) == 0
    assert record(tmp_path / "again") == pytest.approx(metrics), "from its own config.yaml"


@pytest.mark.parametrize(
    "opts, words",
    [
        (["INPUT.SIZE_TEST", "[64, 16]"], "INPUT.SIZE_TEST [64, 16] gives AIR-Net a feature map of 4 x 1"),
        (["MODEL.BACKBONE.DEPTH", "152x"], "MODEL.BACKBONE.DEPTH of build_resnet_backbone '152x'"),
        (
            ["MODEL.BACKBONE.NAME", "build_mobilenetv2_backbone", "MODEL.BACKBONE.DEPTH", "1.0x"],
            "has no layer1",
        ),
        (["MODEL.AIRNET.CONTEXT_AFTER", "['layer2']"], "MODEL.BACKBONE.WITH_IBN True contradicts"),
        (["MODEL.HEADS.POOL_LAYER", "GlobalMaxPool"], "contradicts MODEL.AIRNET.BRANCHES"),
    ],
)
def test_a_mistake_is_one_sentence(run, tmp_path, capsys, opts, words):
    assert run("out", *opts) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert words in last
    assert not (tmp_path / "out" / "model_final.pth").exists()
