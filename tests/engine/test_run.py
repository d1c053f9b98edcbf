"""The main job on a tiny Market-1501: both stages by one command, its files, evaluation, resume, mistakes."""

import json
import os
import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from fastreid_projects.data.attributes import MARKET1501
from fastreid_projects.engine import run
from fastreid_projects.engine.main import main
from tests.conftest import write_market

ROOT = Path(__file__).resolve().parents[2]
AMD = str(ROOT / "projects" / "AMD" / "configs" / "demo" / "amd_r18_demo.yml")
SBS = str(ROOT / "configs" / "demo" / "sbs_r18_demo.yml")
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
        "SOLVER.WARMUP_ITERS",
        "1",
        "SOLVER.MAX_EPOCH",
        "2",
        "TEST.EVAL_PERIOD",
        "2",
    ),
    *("INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]", "MODEL.DEVICE", "cpu"),
]


def write_attributes(folder, ids):
    """A market_attribute.mat with random labels."""
    rng = np.random.default_rng(0)
    part = {name: rng.integers(1, 3, len(ids)) for name in MARKET1501.names}
    part["image_index"] = np.array([f"{pid:04d}" for pid in ids], dtype=object)
    savemat(folder / "market_attribute.mat", {"market_attribute": {"train": part, "test": part}})


@pytest.fixture
def market(tmp_path, monkeypatch):
    """A tiny Market-1501 with attributes."""
    folder = write_market(tmp_path / "data", ids=4, test_ids=3, cameras=2, images=3, size=(32, 64))
    write_attributes(folder, range(2, 9))
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "data"))
    return folder


def target_config(tmp_path):
    """A target yaml for the tiny data."""
    path = tmp_path / "target.yml"
    keys = dict(zip(SMALL[::2], SMALL[1::2], strict=True))
    lines = [
        f"_BASE_: {SBS}",
        "SOLVER:",
        "  DELAY_EPOCHS: 0",
        *(f"  {k[7:]}: {v}" for k, v in keys.items() if "SOLVER" in k),
    ]
    for group in ("DATASETS", "DATALOADER", "TEST", "INPUT"):
        lines += [
            f"{group}:",
            *(f"  {k.split('.', 1)[1]}: {v}" for k, v in keys.items() if k.startswith(f"{group}.")),
        ]
    path.write_text("\n".join(lines))
    return str(path)


def run_amd(tmp_path, *opts):
    out = tmp_path / "out"
    own = ["MODEL.AMD.TARGET.CONFIG", target_config(tmp_path), "MODEL.AMD.REPORT.PAIRS", "2"]
    own += ["MODEL.AMD.TEST.DELETION_PAIRS", "2"]
    flags = [o for o in opts if o.startswith("--")]
    keys = [o for o in opts if not o.startswith("--")]
    return main(["--config-file", AMD, *flags, *SMALL, *own, "OUTPUT_DIR", str(out), *keys]), out


def test_the_main_job(market, tmp_path, capsys):
    code, out = run_amd(tmp_path, "TEST.EVAL_PERIOD", "1")  # a report in the middle of the training
    assert code == 0
    for name in (
        "run.json",
        "config.yaml",
        "log.txt",
        "metrics.json",
        "model_final.pth",
        "report/report.html",
    ):
        assert (out / name).is_file(), name
    assert (out / "target" / "model_final.pth").is_file()
    record = json.loads((out / "run.json").read_text())
    assert {
        "config",
        "seed",
        "commit",
        "versions",
        "hardware",
        "seconds",
        "peak_memory_mib",
        "metrics",
        "date",
    } <= set(record)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(record["date"])) < timedelta(hours=1)
    for name in ("ADRE", "X-mAP_e", "X-mAP_c", "Rank-1", "mAP", "mINP", "target_mAP"):
        assert name in record["metrics"]
    assert "<html" in (out / "report" / "report.html").read_text()
    assert (out / "log.txt").read_text().splitlines()[-1].endswith(f"Open {out}/report/report.html")

    plain = json.loads((out / "target" / "run.json").read_text())["metrics"]
    for name in ("Rank-1", "Rank-5", "mAP", "mINP"):
        assert record["metrics"][f"target_{name}"] == plain[name], "a plain evaluation of the target"

    saved = torch.load(out / "target" / "model_final.pth", weights_only=True)["model"]
    inside = torch.load(out / "model_final.pth", weights_only=True)["model"]
    for name, value in saved.items():
        assert torch.equal(inside[f"target.model.{name}"], value), name

    rerank = ["TEST.RERANK.ENABLED", "True", "TEST.FLIP.ENABLED", "True", "MODEL.WEIGHTS"]
    target_run = ["--config-file", target_config(tmp_path), "--eval-only", *SMALL, "SOLVER.DELAY_EPOCHS", "0"]
    own = [*rerank, str(out / "target" / "model_final.pth"), "OUTPUT_DIR", str(tmp_path / "plain")]
    assert main([*target_run, *own]) == 0
    assert run_amd(tmp_path, "--eval-only", *rerank, str(out / "model_final.pth"))[0] == 0
    plain = json.loads((tmp_path / "plain" / "run.json").read_text())["metrics"]
    both = json.loads((out / "run.json").read_text())["metrics"]
    assert both["target_mAP"] == plain["mAP"], "scored as the target is, also with flips and re-ranking"

    log = len((out / "target" / "log.txt").read_text())
    code, _ = run_amd(tmp_path, "--eval-only", "MODEL.WEIGHTS", str(out / "model_final.pth"))
    assert code == 0
    again = json.loads((out / "run.json").read_text())["metrics"]
    assert again == pytest.approx(record["metrics"])
    assert len((out / "target" / "log.txt").read_text()) == log, "the target is not trained again"

    code, _ = run_amd(tmp_path, "--resume")
    assert code == 0, "a finished run resumed"


def test_same_seed_same_weights(market, tmp_path):
    weights = []
    for name in ("a", "b"):
        opts = ["OUTPUT_DIR", str(tmp_path / name), "SOLVER.DELAY_EPOCHS", "0", "SEED", "7"]
        assert main(["--config-file", SBS, *SMALL, *opts]) == 0
        weights.append(torch.load(tmp_path / name / "model_final.pth", weights_only=True)["model"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.fixture
def refusal(tmp_path, capsys):
    """A factory: the sentence that refuses the options of a run in ``tmp_path/out``."""

    def make(opts, words):
        flags = [o for o in opts if o.startswith("--")]
        keys = [o for o in opts if not o.startswith("--")]
        small = [*SMALL, "SOLVER.DELAY_EPOCHS", "0", "OUTPUT_DIR", str(tmp_path / "out")]
        assert main(["--config-file", AMD if "AMD" in str(opts) else SBS, *flags, *small, *keys]) == 2
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith("error: ")
        for word in words:
            assert word in last
        assert "Traceback" not in last

    return make


@pytest.mark.parametrize(
    "opts, words",
    [
        (["MODEL.LOSSES.NAME", "('TripletLos',)"], ["MODEL.LOSSES.NAME", "TripletLoss"]),
        (["MODEL.LOSSES.TRI.MARGIN", "nan"], ["MODEL.LOSSES.TRI.MARGIN"]),
        (["SOLVER.NOPE", "1"], ["SOLVER.NOPE"]),
        (["SOLVER.IMS_PER_BATCH"], ["SOLVER.IMS_PER_BATCH", "alone"]),
        (["SOLVER.IMS_PER_BATCH", "6"], ["NUM_INSTANCE"]),
        (["SOLVER.BASE_LR", "-1"], ["SOLVER.BASE_LR", "above 0"]),
        (["SOLVER.SCHED", "MultiStepLR", "SOLVER.STEPS", "[400]"], ["SOLVER.STEPS"]),
        (["TRAINING.EMA", "2"], ["TRAINING.EMA"]),
        (["DATASETS.ID_FRACTION", "0"], ["DATASETS.ID_FRACTION", "above 0"]),
        (["DATASETS.NAMES", "('Market1502',)"], ["Market1502", "Market1501"]),
        (["--eval-only"], ["MODEL.WEIGHTS"]),
    ],
)
def test_a_wrong_config_is_one_sentence_before_anything_is_written(refusal, tmp_path, opts, words):
    refusal(opts, words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "opts, words",
    [
        (["MODEL.AMD.TARGET.WEIGHTS", "nothing.pth"], ["nothing.pth", "fastreid-projects train"]),
        (["SOLVER.IMS_PER_BATCH", "800"], ["SOLVER.IMS_PER_BATCH"]),
    ],
)
def test_what_does_not_fit_the_data_or_the_weights_is_one_sentence(market, refusal, tmp_path, opts, words):
    refusal(opts, words)
    assert not (tmp_path / "out" / "model_final.pth").exists()


def test_missing_attributes_and_data(market, tmp_path, capsys, monkeypatch):
    (market / "market_attribute.mat").unlink()
    assert run_amd(tmp_path, "MODEL.AMD.TARGET.WEIGHTS", "")[0] == 2
    assert "market_attribute.mat" in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "elsewhere"))
    assert main(["--config-file", SBS, *SMALL, "OUTPUT_DIR", str(tmp_path / "o")]) == 2
    assert re.search(r"elsewhere.*FASTREID_DATASETS", capsys.readouterr().err.splitlines()[-1])


def test_a_broken_image_is_named(market, tmp_path, capsys):
    victim = sorted((market / "bounding_box_train").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:200])
    assert (
        main(["--config-file", SBS, *SMALL, "SOLVER.DELAY_EPOCHS", "0", "OUTPUT_DIR", str(tmp_path / "o")])
        == 2
    )
    assert victim.name in capsys.readouterr().err.splitlines()[-1]


def test_a_missing_test_set_is_found_before_the_training(market, tmp_path, capsys):
    out = tmp_path / "o"
    opts = [*SMALL, "SOLVER.DELAY_EPOCHS", "0", "DATASETS.TESTS", "('Market1501','DukeMTMC')"]
    assert main(["--config-file", SBS, *opts, "OUTPUT_DIR", str(out)]) == 2
    assert "DukeMTMC" in capsys.readouterr().err.splitlines()[-1]
    assert not list(out.glob("*.pth"))
    assert "epoch/iter" not in (out / "log.txt").read_text()


def test_a_failed_evaluation_loses_no_training(market, tmp_path, capsys):
    """A broken gallery image ends the run after its training; once fixed, --resume evaluates what was trained."""
    out = tmp_path / "o"
    victim = sorted((market / "bounding_box_test").iterdir())[0]
    content = victim.read_bytes()
    victim.write_bytes(content[:200])
    command = ["--config-file", SBS, *SMALL, "SOLVER.DELAY_EPOCHS", "0", "OUTPUT_DIR", str(out)]
    assert main(command) == 2
    assert victim.name in capsys.readouterr().err.splitlines()[-1]
    assert not (out / "model_final.pth").exists()
    saved = torch.load(out / "model_interrupted.pth", weights_only=True)["model"]
    victim.write_bytes(content)
    assert main(["--resume", *command]) == 0
    final = torch.load(out / "model_final.pth", weights_only=True)["model"]
    assert all(torch.equal(final[name], value) for name, value in saved.items())
    assert "Rank-1" in json.loads((out / "run.json").read_text())["metrics"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_evaluation_with_a_word(signum, market, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "evaluate", lambda cfg: os.kill(os.getpid(), signum))
    words = ["--config-file", SBS, "--eval-only", *SMALL, "OUTPUT_DIR", str(tmp_path / "out")]
    words += ["MODEL.WEIGHTS", "any.pth"]
    assert main([*words, "SOLVER.DELAY_EPOCHS", "0"]) == 128 + signum
    assert capsys.readouterr().err.strip().splitlines()[-1] == "Interrupted"
