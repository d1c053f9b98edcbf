"""Saliency of each branch: its map, its part of the feature, and the files that show it."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from PIL import Image

from fastreid_projects.config import load_config
from fastreid_projects.errors import ConfigError
from fastreid_projects.visualization.gradcam import gradcam, strength
from fastreid_projects.visualization.saliency import saliency, saliency_parts, write_saliency
from tests.architectures import small_configs

ROOT = Path(__file__).resolve().parents[2]
AIRNET = "projects/AIRNet/configs/demo/airnet_r18_demo.yml"
CPU = ["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.HEADS.NUM_CLASSES", "3"]


def make_model(path, *opts):
    torch.manual_seed(0)
    cfg = load_config(str(ROOT / path), [*CPU, *opts])
    return cfg, build_model(cfg)


def random_images(n=2, size=(64, 32)):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(0)) * 255


def test_air_net_shows_each_of_its_representations():
    _, model = make_model(AIRNET, "INPUT.SIZE_TEST", "[64, 32]", "INPUT.SIZE_TRAIN", "[64, 32]")
    found = saliency(model, random_images())
    assert {name: tuple(maps.shape) for name, maps in found.items()} == dict.fromkeys(
        ("1", "2a", "2b"), (2, 4, 2)
    )
    assert not torch.allclose(found["2a"], found["2b"]), "two representations of one map"

    model.eval()
    with torch.no_grad():
        shared = model.backbone(model.preprocess_image(random_images()))
    maps = model.branches[1](shared).detach().requires_grad_()
    (model.heads["2b"](maps).square().sum() / 2).backward()
    expected = (maps.grad.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).relu()
    torch.testing.assert_close(found["2b"], expected.detach(), rtol=1e-3, atol=1e-4)


def test_mgn_shows_its_stripes():
    _, model = make_model("configs/demo/mgn_r50_demo.yml", "INPUT.SIZE_TEST", "[128, 64]")
    parts = saliency_parts(model)
    assert list(parts) == ["b1", "b2", "b3", "b21", "b22", "b31", "b32", "b33"]
    model.eval()
    images = random_images(1, (128, 64))
    with torch.no_grad():
        features = model(images)
        stripe = model.b22_head(
            torch.chunk(model.b2(model.backbone(model.preprocess_image(images))), 2, dim=2)[1]
        )
    assert torch.equal(features[:, parts["b22"].numbers], stripe)
    assert parts["b22"].layer is model.b2
    assert parts["b33"].numbers.stop == features.shape[1]


def test_a_model_without_branches_shows_its_map():
    _, model = make_model("configs/demo/bagtricks_r18_demo.yml")
    found = saliency(model, random_images())
    expected = gradcam(model, random_images(), strength())
    assert found.keys() == expected.keys() == {"backbone"}
    assert torch.equal(found["backbone"], expected["backbone"])


def test_an_interpreter_shows_its_target(tmp_path):
    from tests.amd.conftest import INTERPRETER, save_target

    config, weights = save_target(tmp_path / "target")
    own = ["MODEL.AMD.TARGET.CONFIG", config, "MODEL.AMD.TARGET.WEIGHTS", weights, "MODEL.DEVICE", "cpu"]
    model = build_model(load_config(INTERPRETER, own))
    found = saliency(model.compared_model, random_images(1, (128, 64)))
    assert found["backbone"].amax() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


SMALL = small_configs()


@pytest.mark.parametrize("name", SMALL)
def test_every_architecture_shows_its_branches(name):
    cfg, model = make_model(SMALL[name])
    size = [
        max(side, 64) for side in cfg.INPUT.SIZE_TEST
    ]  # of 32 x 32 the last map of a classifier is one cell
    found = saliency(model, random_images(1, size))
    assert list(found) == list(saliency_parts(model))
    for maps in found.values():
        assert maps.dim() == 3
        assert torch.isfinite(maps).all()
        assert maps.min() >= 0
    assert max(maps.max() for maps in found.values()) > 0


@pytest.fixture
def files(tmp_path):
    """Two pictures, an AIR-Net and a baseline with weights, all by path."""
    for name in ("a", "b"):
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (96, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    for name, path in (
        ("airnet", AIRNET),
        ("baseline", "projects/AIRNet/configs/demo/airnet_one_branch_max_r18_demo.yml"),
    ):
        cfg, model = make_model(path)
        torch.save({"model": model.state_dict()}, tmp_path / f"{name}.pth")
        (tmp_path / f"{name}.yaml").write_text(cfg.dump())
    return tmp_path


def test_the_command_writes_html_and_pngs_beside_a_baseline(files, monkeypatch, capsys):
    words = [
        *("gradcam.py", "--config-file", "airnet.yaml", "--branches"),
        *("--beside", "baseline", "baseline.yaml", "baseline.pth"),
        *("--images", "a.png", "b.png", "--output", "out", "MODEL.WEIGHTS", "airnet.pth"),
    ]
    monkeypatch.chdir(files)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "tools" / "gradcam.py"), run_name="__main__")
    assert end.value.code == 0
    printed = capsys.readouterr().out
    names = ["saliency.html", "000_a.png", "001_b.png"]
    assert [Path(line).name for line in printed.splitlines()[-3:]] == names
    assert sorted(path.name for path in (files / "out").iterdir()) == sorted(names)
    html = (files / "out" / "saliency.html").read_text()
    for title in ("baseline: 1", "AIRNet: 1", "AIRNet: 2a", "AIRNet: 2b"):
        assert f'<th scope="col">{title}</th>' in html or f'<th scope="col">{title}' in html
        assert f'alt="{title} on b.png"' in html
    assert html.count("data:image/png;base64,") == 1 + 2 * (1 + 4)
    assert "http" not in html
    strip = np.asarray(Image.open(files / "out" / "000_a.png").convert("RGB"))
    assert strip.shape == (96, 5 * 48 + 4 * 4, 3)
    assert np.array_equal(strip[:, :48], np.asarray(Image.open(files / "a.png")))


@pytest.mark.parametrize("names", [["AIRNet"], ["a", "a"]])
def test_two_models_of_one_name_are_a_sentence(files, monkeypatch, capsys, names):
    beside = [word for name in names for word in ("--beside", name, "baseline.yaml", "baseline.pth")]
    opts = ["--images", "a.png", "--output", "out", "MODEL.WEIGHTS", "airnet.pth"]
    monkeypatch.chdir(files)
    monkeypatch.setattr(
        sys, "argv", ["gradcam.py", "--config-file", "airnet.yaml", "--branches", *beside, *opts]
    )
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "tools" / "gradcam.py"), run_name="__main__")
    assert end.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"--beside {names[-1]} is the name of two models: name each model differently" in last
    assert not (files / "out").exists()


def test_without_weights_it_is_a_sentence_and_no_file(files):
    cfg = load_config(str(files / "airnet.yaml"))
    with pytest.raises(ConfigError, match=r"MODEL\.WEIGHTS"):
        write_saliency({"AIR-Net": cfg}, [str(files / "a.png")], files / "out")
    assert not (files / "out").exists()
