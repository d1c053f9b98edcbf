"""Attention maps as numbers and as a picture."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid_projects.config import load_config
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError
from fastreid_projects.sal.attention import attention_of, write_attention
from fastreid_projects.sal.losses import attention_map
from fastreid_projects.visualization.gradcam import gradcam
from tests.yaml_files import config_file

ROOT = Path(__file__).resolve().parents[2]


def model_of(name="sal_r18_demo.yml", *opts):
    torch.manual_seed(0)
    cfg = load_config(str(config_file(name)), ["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "3", *opts])
    return cfg, Trainer.build_model(cfg)


@pytest.fixture
def weights(tmp_path):
    _, model = model_of()
    path = tmp_path / "model.pth"
    torch.save({"model": model.state_dict()}, path)
    return str(path)


def test_attention_is_that_of_the_levels_in_evaluation():
    _, model = model_of()
    model.train()
    images = torch.rand(2, 3, 64, 32) * 255
    copy = images.clone()
    found = attention_of(model, images)
    assert torch.equal(images, copy)
    assert model.training
    model.eval()
    levels = model.backbone(model.preprocess_image({"images": images.clone()}))
    assert list(found.maps) == ["stage4", "stage5", "stage6"]
    for attention, level in zip(found.maps.values(), levels, strict=True):
        torch.testing.assert_close(attention, attention_map(level.detach()))
    assert 0 < found.constraint < 4


def test_attention_of_a_plain_resnet():
    _, model = model_of("sal_ce_r18_demo.yml")
    found = attention_of(model, torch.rand(1, 3, 64, 32) * 255, ["backbone.layer2", "backbone.layer3"])
    assert [tuple(m.shape) for m in found.maps.values()] == [(1, 8, 4), (1, 4, 2)]


def test_gradcam_shows_each_level():
    _, model = model_of()
    found = gradcam(model, torch.rand(2, 3, 64, 32) * 255)
    assert list(found) == ["stage4", "stage5", "stage6"]


def test_a_picture_of_two_models(weights, tmp_path, tiny_market):
    tiny_market(size=(32, 64))
    cfg, _ = model_of("sal_r18_demo.yml", "DATASETS.TESTS", "('Market1501',)", "MODEL.WEIGHTS", weights)
    path, constraints = write_attention({"without": cfg, "with": cfg}, tmp_path / "a" / "maps.png", count=2)
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert picture.shape[1] > picture.shape[0] * 0.8
    assert picture.std() > 5
    assert constraints["with"] == constraints["without"]


def test_weights_are_needed(tmp_path, tiny_market):
    tiny_market(size=(32, 64))
    cfg, _ = model_of("sal_r18_demo.yml", "DATASETS.TESTS", "('Market1501',)")
    with pytest.raises(ConfigError, match=r"MODEL\.WEIGHTS"):
        write_attention({"a": cfg}, tmp_path / "maps.png")
    assert not list(tmp_path.glob("*.png"))


def test_the_command(weights, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 32, 3), dtype=np.uint8)).save(
        tmp_path / "a.jpg"
    )
    command = [sys.executable, str(ROOT / "tools" / "attention_maps.py"), "--model", "SAL"]
    command += [str(config_file("sal_r18_demo.yml")), weights, "--images", str(tmp_path / "a.jpg")]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "maps.png")],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr
    assert "SAL: L_sac" in done.stdout
    assert (tmp_path / "maps.png").is_file()
    done = subprocess.run(
        [*command[:-1], "none.jpg"], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 2
    assert "none.jpg" in done.stderr.strip().splitlines()[-1]
