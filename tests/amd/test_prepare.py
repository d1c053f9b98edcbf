"""When the target is trained first, and when not."""

import argparse
from pathlib import Path

import pytest

from fastreid_projects.amd import prepare
from fastreid_projects.engine import run as run_module


@pytest.fixture
def runs(monkeypatch):
    """Stand in for the training of a target: it leaves the weights it would leave."""
    made = []

    def run(cfg, args):
        assert isinstance(args, argparse.Namespace)
        assert args.resume
        made.append(cfg.OUTPUT_DIR)
        Path(cfg.OUTPUT_DIR).mkdir(parents=True)
        (Path(cfg.OUTPUT_DIR) / "model_final.pth").write_bytes(b"weights")
        return {}

    monkeypatch.setattr(run_module, "run", run)
    return made


def config(amd_config, tmp_path, *opts):
    return amd_config("MODEL.AMD.TARGET.WEIGHTS", "", "OUTPUT_DIR", str(tmp_path / "out"), *opts)


def test_it_is_trained_once(amd_config, tmp_path, runs):
    for _ in range(2):
        cfg = config(amd_config, tmp_path)
        prepare.prepare_target(cfg)
        assert str(tmp_path / "out" / "target" / "model_final.pth") == cfg.MODEL.AMD.TARGET.WEIGHTS
    assert runs == [str(tmp_path / "out" / "target")]


def test_not_where_weights_are_named(amd_config, tmp_path, runs):
    cfg = config(amd_config, tmp_path, "MODEL.AMD.TARGET.WEIGHTS", "mine.pth")
    prepare.prepare_target(cfg)
    assert not runs
    assert cfg.MODEL.AMD.TARGET.WEIGHTS == "mine.pth"


def test_not_unless_asked(amd_config, tmp_path, runs):
    prepare.prepare_target(config(amd_config, tmp_path, "MODEL.AMD.TARGET.TRAIN", "False"))
    assert not runs


def test_not_for_an_interpreter_that_holds_its_target(amd_config, tmp_path, runs):
    own = tmp_path / "amd.pth"
    own.write_bytes(b"checkpoint")
    cfg = config(amd_config, tmp_path, "MODEL.WEIGHTS", str(own))
    prepare.prepare_target(cfg)
    assert not runs
    assert cfg.MODEL.AMD.TARGET.WEIGHTS == ""
