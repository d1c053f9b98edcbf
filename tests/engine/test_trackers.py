"""TensorBoard, wandb and MLflow get all numbers of a run, the last evaluation's too."""

import json
import sys
from types import SimpleNamespace

import pytest

from fastreid_projects.engine.trackers import build_trackers
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError, MissingExtraError


class Kept:
    """A stand-in for wandb and mlflow that records its calls."""

    def __init__(self):
        self.started, self.ended, self.numbers, self.texts = [], 0, [], {}

    def init(self, **kwargs):
        self.started.append(kwargs)
        return SimpleNamespace(log=lambda scalars, step: self.log_metrics(scalars, step), finish=self.end_run)

    def start_run(self, **kwargs):
        self.started.append(kwargs)

    def log_text(self, text, name):
        self.texts[name] = text

    def log_metrics(self, scalars, step):
        self.numbers.append((step, dict(scalars)))

    def end_run(self):
        self.ended += 1


@pytest.fixture
def packages(monkeypatch):
    kept = {name: Kept() for name in ("wandb", "mlflow")}
    for name, package in kept.items():
        monkeypatch.setitem(sys.modules, name, package)
    return kept


def test_all_of_them_get_the_last_evaluation(tiny_market, tiny_cfg, packages, tmp_path):
    tiny_market()
    cfg = tiny_cfg(
        *("SOLVER.MAX_EPOCH", 2, "TEST.ROC.ENABLED", True), "TRACKERS", ["tensorboard", "wandb", "mlflow"]
    )
    results = Trainer(cfg).train()
    lines = [json.loads(line) for line in (tmp_path / "logs" / "metrics.json").read_text().splitlines()]
    assert lines[-1]["mAP"] == pytest.approx(results["mAP"])
    for package in packages.values():
        step, numbers = package.numbers[-1]
        assert (step, numbers["mAP"]) == (lines[-1]["iteration"], pytest.approx(results["mAP"]))
        assert any("total_loss" in scalars for _, scalars in package.numbers)
        assert package.ended == 1
    assert packages["wandb"].started[0]["config"]["SOLVER"]["MAX_EPOCH"] == 2
    assert "MAX_EPOCH: 2" in packages["mlflow"].texts["config.yaml"]
    assert "TPR_FPR_1e-02" in packages["mlflow"].numbers[-1][1]
    assert list((tmp_path / "logs").glob("events.out.tfevents.*"))


def test_none_at_all(tiny_market, tiny_cfg, tmp_path):
    tiny_market()
    Trainer(tiny_cfg("TRACKERS", [])).train()
    assert not list((tmp_path / "logs").glob("events.out.tfevents.*"))


def test_an_unknown_one_and_one_that_is_not_installed(tiny_cfg, monkeypatch):
    with pytest.raises(ConfigError, match="TRACKERS names comet; known are tensorboard, wandb, mlflow"):
        build_trackers(tiny_cfg("TRACKERS", ["comet"]))
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=r"TRACKERS wandb needs wandb.*\[trackers\]"):
        build_trackers(tiny_cfg("TRACKERS", ["wandb"]))
