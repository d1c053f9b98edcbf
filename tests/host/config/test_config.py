"""FastReID's own way: its get_cfg() and merge_from_file, its predictor and its Distiller with the config of a run."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.config import CfgNode, get_cfg
from fastreid.data.data_utils import read_image
from fastreid.data.transforms import build_transforms
from fastreid.engine import DefaultPredictor, DefaultTrainer
from fastreid.evaluation import DatasetEvaluator, inference_on_dataset
from fastreid.modeling.meta_arch import distiller

from fastreid_projects import plugins
from fastreid_projects.config import load_config
from fastreid_projects.engine.load_model import load_trained
from fastreid_projects.engine.run import run
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError
from tests.architectures import small_configs
from tests.yaml_files import ALL, ROOT


def merged(path, *opts):
    cfg = get_cfg()
    cfg.merge_from_file(str(path))
    cfg.merge_from_list(list(opts))
    return cfg


def test_the_hosts_config_knows_the_keys_of_this_project(unpatched):
    assert "Non-existent config key: MODEL.LOSSES.FIDI" in unpatched["own_key"]
    assert get_cfg is plugins.get_cfg
    assert distiller.get_cfg is get_cfg
    assert isinstance(get_cfg(), CfgNode)
    assert get_cfg() == load_config()
    assert get_cfg() is not get_cfg()


@pytest.mark.parametrize("folder", sorted({path.parent.relative_to(ROOT) for path in ALL}), ids=str)
def test_every_file_of_the_repository_is_merged_as_by_load_config(folder):
    for path in (path for path in ALL if path.parent == ROOT / folder):
        assert merged(path) == load_config(str(path)), path


def test_a_group_of_keys_may_come_from_another_config():
    """What yacs compares are the types of the nodes."""
    cfg = get_cfg()
    cfg.merge_from_other_cfg(CfgNode({"MODEL": {"LOSSES": {"BATCH_HARD": {"MARGIN": 0.5}}}}))
    assert cfg.MODEL.LOSSES.BATCH_HARD.MARGIN == 0.5


def test_a_file_may_hold_what_load_config_takes(unpatched, tmp_path):
    assert unpatched["list_of_bases"].startswith("AttributeError")
    assert "Type mismatch" in unpatched["integer_for_a_float"]
    (tmp_path / "one.yml").write_text("SOLVER:\n  MAX_EPOCH: 7\n  BASE_LR: 1\n")
    (tmp_path / "two.yml").write_text("SOLVER:\n  WEIGHT_DECAY: 1e-4\n")
    path = tmp_path / "both.yml"
    path.write_text("_BASE_: [one.yml, two.yml]\nMODEL:\n  DEVICE: cpu\n")
    cfg = merged(path, "SOLVER.IMS_PER_BATCH", 8)
    assert cfg.MODEL.DEVICE == "cpu"
    assert (cfg.SOLVER.MAX_EPOCH, cfg.SOLVER.BASE_LR, cfg.SOLVER.WEIGHT_DECAY) == (7, 1.0, 1e-4)
    path.write_text("MODEL:\n  DEVISE: cpu\n")
    with pytest.raises(ConfigError, match=r"both.yml: there is no config key MODEL.DEVISE; did you mean"):
        merged(path)


def test_other_configs_and_files_that_run_code_are_the_hosts(tmp_path):
    path = tmp_path / "own.yml"
    path.write_text("A: 2\n")
    cfg = CfgNode({"A": 1})
    cfg.merge_from_file(str(path))
    assert cfg.A == 2
    path.write_text("INPUT:\n  SIZE_TEST: !!python/object/apply:builtins.sorted [[5, 4]]\n")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        get_cfg().merge_from_file(str(path))
    cfg = get_cfg()
    cfg.merge_from_file(str(path), allow_unsafe=True)
    assert cfg.INPUT.SIZE_TEST == [4, 5]


def test_a_config_reads_the_plug_ins_that_it_names(tmp_path):
    (tmp_path / "own_keys.py").write_text("def add_config(cfg):\n    cfg.MODEL.OWN_KEY = 1\n")
    path = tmp_path / "own.yml"
    path.write_text("PLUGINS: [own_keys.py]\nMODEL:\n  OWN_KEY: 2\n")
    assert merged(path).MODEL.OWN_KEY == 2


class Kept(DatasetEvaluator):
    """Keeps what an evaluator is given."""

    def __init__(self):
        self.features = {}

    def process(self, inputs, outputs):
        self.features.update(zip(inputs["img_paths"], outputs, strict=True))

    def evaluate(self):
        return self.features


@pytest.fixture
def trained(tiny_cfg, tiny_market):
    """The folder of a finished run with keys of this project."""
    tiny_market()
    cfg = tiny_cfg("MODEL.LOSSES.NAME", ("CrossEntropyLoss", "FIDILoss"), "MODEL.LOSSES.FIDI.ALPHA", 1.5)
    run(cfg, argparse.Namespace(config_file="", resume=False, eval_only=False))
    return Path(cfg.OUTPUT_DIR)


def test_the_hosts_predictor_gives_the_features_of_the_evaluation(trained):
    """As its demo.py does: a config, the weights by their key, a picture as a tensor."""
    cfg = merged(trained / "config.yaml", "MODEL.WEIGHTS", str(trained / "model_final.pth"))
    assert cfg.MODEL.LOSSES.FIDI.ALPHA == 1.5
    loader, _ = Trainer.build_test_loader(cfg, "Market1501")
    expected = inference_on_dataset(load_trained(cfg.clone()), loader, Kept())
    cfg.freeze()
    predictor, transform = DefaultPredictor(cfg), build_transforms(cfg, is_train=False)
    for path, feature in expected.items():
        image = torch.from_numpy(np.asarray(transform(read_image(path)), dtype=np.float32))
        found = predictor(image.unsqueeze(0)).squeeze(0)
        torch.testing.assert_close(found, feature.cpu())
    assert len(expected) == 8


def test_a_distiller_learns_from_a_run(trained, tiny_cfg, tmp_path):
    cfg = tiny_cfg(
        *("MODEL.META_ARCHITECTURE", "Distiller", "OUTPUT_DIR", str(tmp_path / "student")),
        *("KD.MODEL_CONFIG", [str(trained / "config.yaml")]),
        *("KD.MODEL_WEIGHTS", [str(trained / "model_final.pth")]),
    )
    trainer = DefaultTrainer(cfg)
    teacher = trainer.model.model_ts[0].state_dict()
    weights = torch.load(trained / "model_final.pth")["model"]
    assert all(torch.equal(teacher[name], weights[name]) for name in ("backbone.0.weight", "heads.weight"))
    before = trainer.model.backbone[0].weight.clone()
    trainer.train()
    assert not torch.equal(trainer.model.backbone[0].weight, before)


@pytest.mark.parametrize("name", small_configs())
def test_the_hosts_predictor_runs_every_architecture(name):
    cfg = merged(small_configs()[name], "MODEL.HEADS.NUM_CLASSES", 4, "MODEL.BACKBONE.PRETRAIN", False)
    feature = DefaultPredictor(cfg)(torch.rand(1, 3, *cfg.INPUT.SIZE_TEST) * 255)
    assert feature.dim() == 2
    assert feature.isfinite().all()
