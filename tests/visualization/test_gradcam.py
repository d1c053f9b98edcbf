"""Grad-CAM: the map of the definition, on one image and on the similarity of two, for every architecture."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from PIL import Image
from torch import nn

from fastreid_projects import plugins
from fastreid_projects.commands.table import run_command
from fastreid_projects.errors import ConfigError
from fastreid_projects.visualization.gradcam import (
    gradcam,
    gradcam_pair,
    identity_logit,
    map_layers,
    named_layer,
    similarity_to,
    strength,
)
from fastreid_projects.visualization.tokens import patch_grid
from tests.yaml_files import config_file

ROOT = Path(__file__).resolve().parents[2]


def images(n=3, size=(32, 16), seed=0):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(seed)) * 255


def build(cfg):
    torch.manual_seed(0)
    cfg.MODEL.HEADS.NUM_CLASSES = 4
    cfg.MODEL.BACKBONE.PRETRAIN = False
    return META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)


def by_definition(model, batch, score):
    """relu(sum_c mean(d score / d map_c) map_c), from the model taken apart by hand."""
    model.eval()
    maps = model.backbone(model.preprocess_image(batch))
    maps.retain_grad()
    score(model.heads(maps)).sum().backward()
    weights = maps.grad.mean(dim=(2, 3), keepdim=True)
    return (weights * maps).sum(dim=1).relu().detach()


@pytest.mark.parametrize("kind", ["strength", "part", "similarity", "identity"])
def test_it_is_the_definition(tiny_cfg, kind):
    model = build(tiny_cfg())
    other = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    score = {
        "strength": strength(),
        "part": strength(slice(4, 8)),
        "similarity": similarity_to(other),
        "identity": identity_logit(model, torch.tensor([0, 1, 3])),
    }[kind]
    found = gradcam(model, images(), score)
    assert list(found) == ["backbone"]
    assert found["backbone"].shape == (3, 8, 4)
    assert found["backbone"].amax() > 0
    torch.testing.assert_close(found["backbone"], by_definition(model, images(), score))


def test_a_pair_shows_where_either_image_is_like_the_other(tiny_cfg):
    model = build(tiny_cfg())
    first, second = images(2), images(2, seed=1)
    similarity, a, b = gradcam_pair(model, first, second)
    model.eval()
    with torch.no_grad():
        features = model(first), model(second)
    torch.testing.assert_close(similarity, torch.cosine_similarity(*features))
    torch.testing.assert_close(a["backbone"], gradcam(model, first, similarity_to(features[1]))["backbone"])
    torch.testing.assert_close(b["backbone"], gradcam(model, second, similarity_to(features[0]))["backbone"])


def test_the_model_is_left_as_it_was(tiny_cfg):
    model = build(tiny_cfg()).train()
    model.backbone.eval()
    for parameter in model.backbone.parameters():
        parameter.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradcam(model, images())
    assert model.training
    assert not model.backbone.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


DEMOS = [
    "bagtricks_r18_demo",
    "mgn_r50_demo",
    "sbs_r18_demo",
    "airnet_r18_demo",
    "mpn_r18_demo",
    "sal_r18_demo",
]
DEMOS += ["fidi_bdb_r18_demo"]


@pytest.mark.parametrize("name", DEMOS)
def test_every_architecture_here_has_maps(name):
    from fastreid_projects.config import load_config

    cfg = load_config(str(config_file(name)), ["MODEL.DEVICE", "cpu"])
    model = build(cfg)
    found = gradcam(model, images(1, cfg.INPUT.SIZE_TEST))
    assert list(found) == list(map_layers(model))
    for maps in found.values():
        assert maps.dim() == 3
        assert min(maps.shape[1:]) > 1
        assert torch.isfinite(maps).all()
        assert maps.min() >= 0
    assert any(maps.max() > 0 for maps in found.values())


def test_an_interpreters_maps_are_its_targets(tiny_cfg):
    model = build(tiny_cfg())
    interpreter = nn.Module()
    interpreter.compared_model = model.requires_grad_(False)
    assert torch.equal(gradcam(interpreter, images())["backbone"], gradcam(model, images())["backbone"])
    _, first, _ = gradcam_pair(interpreter, images(), images(seed=1))
    assert first["backbone"].amax() > 0


def test_any_layer_can_be_named(tiny_cfg, resnet18):
    model = build(tiny_cfg(*resnet18))
    layers = named_layer(model, "backbone.layer2")
    assert gradcam(model, images(1, (64, 32)), layers=layers)["backbone.layer2"].shape == (1, 8, 4)
    with pytest.raises(
        ConfigError, match=r"has no layer 'backbone\.layer9'; names start with backbone, heads"
    ):
        named_layer(model, "backbone.layer9")
    with pytest.raises(ConfigError, match="'heads' of Baseline returns no feature map"):
        gradcam(model, images(1), layers=named_layer(model, "heads"))
    with pytest.raises(ConfigError, match="is not used in evaluation"):
        gradcam(model, images(1), layers=named_layer(model, "heads.cls_layer"))


@pytest.fixture
def transformer(tiny_cfg):
    """The host's ViT on images of 64 x 32, with 4 x 2 patches."""
    keys = {"NAME": "build_vit_backbone", "DEPTH": "small", "FEAT_DIM": 768}
    opts = [word for key, value in keys.items() for word in (f"MODEL.BACKBONE.{key}", value)]
    opts += ["MODEL.HEADS.POOL_LAYER", "Identity", "MODEL.HEADS.EMBEDDING_DIM", 0]
    return build(tiny_cfg(*opts, "INPUT.SIZE_TRAIN", [64, 32], "INPUT.SIZE_TEST", [64, 32]))


def test_a_transformer_has_maps_of_its_patches(transformer):
    batch = images(2, (64, 32))
    found = gradcam(transformer, batch)
    assert {name: tuple(maps.shape) for name, maps in found.items()} == {"patches": (2, 4, 2)}
    assert found["patches"].amax() > 0
    tokens = []

    def keep(module, inputs, output):
        output.retain_grad()
        tokens.append(output)

    transformer.eval()
    handle = transformer.backbone.blocks[-1].norm1.register_forward_hook(keep)
    strength()(transformer(batch)).sum().backward()
    handle.remove()
    weights = tokens[0].grad[:, 1:].mean(dim=1, keepdim=True)
    expected = (weights * tokens[0][:, 1:]).sum(dim=2).relu().view(2, 4, 2)
    torch.testing.assert_close(found["patches"], expected.detach())


def test_any_block_of_a_transformer_can_be_named(transformer):
    name = "backbone.blocks.2"
    found = gradcam(transformer, images(1, (64, 32)), layers=named_layer(transformer, name))
    assert found[name].shape == (1, 4, 2)
    assert found[name].amax() > 0
    last = named_layer(transformer, "backbone.blocks.7")
    with pytest.raises(
        ConfigError, match="does not depend on the patches of this layer; name an earlier one"
    ):
        gradcam(transformer, images(1, (64, 32)), layers=last)


def test_a_map_of_one_cell_is_refused(transformer):
    layer = named_layer(transformer, "backbone")
    with pytest.raises(ConfigError, match="'backbone' of Baseline returns a map of one cell"):
        gradcam(transformer, images(1, (64, 32)), layers=layer)


@pytest.mark.parametrize(
    ("tokens", "size", "grid"),
    [
        (33, (128, 64), (8, 4)),
        (32, (128, 64), (8, 4)),
        (197, (224, 224), (14, 14)),
        (201, (224, 224), (14, 14)),
    ],
)
def test_the_grid_of_patches_has_the_proportions_of_the_image(tokens, size, grid):
    assert patch_grid(nn.Identity(), tokens, size) == grid


def test_tokens_without_a_grid_are_refused():
    with pytest.raises(ConfigError, match="7 tokens do not form a grid of patches of an image of 100 x 70"):
        patch_grid(nn.Identity(), 7, (100, 70))
    timm = nn.Module()
    timm.grid_size = (3, 5)
    assert patch_grid(nn.Sequential(timm), 16, (48, 80)) == (3, 5)


def test_what_has_no_maps_or_features_is_refused(tiny_cfg):
    with pytest.raises(ConfigError, match="Linear has no backbone"):
        gradcam(nn.Linear(3, 3), images())
    model = build(tiny_cfg())
    with pytest.raises(ConfigError, match=r"training identities are 0\.\.3, not \[4\]"):
        identity_logit(model, torch.tensor([4]))
    with pytest.raises(ConfigError, match="no single classifier"):
        identity_logit(nn.Linear(3, 3), torch.tensor([0]))
    model.heads = nn.Identity()
    with pytest.raises(ConfigError, match="Baseline does not return features"):
        gradcam(model, images())


def test_the_command_writes_pictures(tmp_path):
    """Of BoT on the demo's size: single images, then a pair."""
    from fastreid_projects.config import load_config

    config = ROOT / "configs" / "demo" / "bagtricks_r18_demo.yml"
    cfg = load_config(str(config), ["MODEL.DEVICE", "cpu"])
    torch.save({"model": build(cfg).state_dict()}, tmp_path / "model.pth")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 255, (128, 64, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    command = [
        sys.executable,
        str(ROOT / "tools" / "gradcam.py"),
        "--config-file",
        str(config),
        "--output",
        "out",
    ]
    opts = ["MODEL.WEIGHTS", "model.pth", "MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "4"]

    def run(*words):
        return subprocess.run(
            [*command, *words], cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False
        )

    done = run("--pair", *opts, "--images", "a.png", "b.png")
    assert done.returncode == 0, done.stderr
    (path,) = done.stdout.split()
    height, width = cfg.INPUT.SIZE_TEST
    assert Image.open(tmp_path / path).size == (4 * width, height)
    refused = run("--pair", *opts, "--images", "a.png")
    assert refused.returncode == 2
    assert refused.stderr.strip().splitlines()[-1] == "error: a similarity needs two images, but 1 are named"


def test_single_images_are_written(tmp_path, tiny_cfg):
    from fastreid_projects.visualization.gradcam_files import write_gradcam

    cfg = plugins.get_cfg()
    cfg.merge_from_other_cfg(
        tiny_cfg("MODEL.WEIGHTS", str(tmp_path / "model.pth"), "MODEL.HEADS.NUM_CLASSES", 4)
    )
    torch.save({"model": build(cfg).state_dict()}, tmp_path / "model.pth")
    Image.new("RGB", (20, 40), (200, 30, 90)).save(tmp_path / "a.png")
    paths = write_gradcam(cfg, [str(tmp_path / "a.png")] * 2, tmp_path / "out")
    assert [path.name for path in paths] == ["000_a_backbone.png", "001_a_backbone.png"]
    assert Image.open(paths[0]).size == (32, 32)
    cfg.MODEL.WEIGHTS = ""
    with pytest.raises(ConfigError, match=r"needs MODEL\.WEIGHTS"):
        write_gradcam(cfg, [str(tmp_path / "a.png")], tmp_path / "out")


def test_a_runs_folder_needs_no_weights(run_folder, pictures, tmp_path, capsys):
    words = [
        "--config-file",
        run_folder(),
        "--images",
        *pictures[:2],
        "--pair",
        "--output",
        str(tmp_path / "out"),
    ]
    assert run_command("gradcam", words, "gradcam") == 0, capsys.readouterr().err
    assert Path(capsys.readouterr().out.strip()).is_file()
