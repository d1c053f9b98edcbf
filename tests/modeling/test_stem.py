"""The padded stem: the host's ResNet with torchvision's weights gives torchvision's map."""

import pytest
import torch
import torchvision
from torch import nn

from fastreid_projects.config import load_config
from fastreid_projects.host.modeling.meta_arch.build import build_model
from fastreid_projects.modeling.stem import pad_stem
from fastreid_projects.plugins import get_cfg
from tests.yaml_files import ROOT, RUNNABLE, config_file


def resnet_cfg(arch="Baseline", padded=False):
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = arch
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.merge_from_list(
        ["NAME", "build_resnet_backbone", "DEPTH", "18x", "LAST_STRIDE", 2, "FEAT_DIM", 512]
    )
    cfg.MODEL.BACKBONE.PADDED_STEM = padded
    cfg.MODEL.HEADS.merge_from_list(
        ["NAME", "MPNHead" if arch == "MPN" else "EmbeddingHead", "NUM_CLASSES", 3]
    )
    cfg.MODEL.LOSSES.NAME = ("CrossEntropyLoss",)
    return cfg


@pytest.mark.parametrize(
    "arch, padded, same", [("Baseline", True, True), ("Baseline", False, False), ("MPN", False, True)]
)
def test_map_is_torchvisions(arch, padded, same):
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(weights=None)
    model = build_model(resnet_cfg(arch, padded))
    missing, unexpected = model.backbone.load_state_dict(theirs.state_dict(), strict=False)
    assert not missing
    assert set(unexpected) == {"fc.weight", "fc.bias"}
    images = torch.rand(2, 3, 64, 32)
    children = list(theirs.eval().children())[:-2]
    with torch.no_grad():
        expected, maps = nn.Sequential(*children)(images), model.backbone.eval()(images)
    assert maps.shape == expected.shape
    assert torch.allclose(maps, expected, atol=1e-5) == same


def test_other_poolings_stay():
    model = nn.Sequential(nn.MaxPool2d(3, 2, padding=1), nn.MaxPool2d(2), nn.Conv2d(1, 1, 1))
    before = list(model.children())
    assert pad_stem(model) is model
    assert list(model.children()) == before


OWN = [
    path
    for path in RUNNABLE
    if path.relative_to(ROOT).parts[1] in ("AIRNet", "MPN", "SAL") or "_bdb_" in path.stem
]


def padded_pools(cfg):
    """Whether each pooling with overlap pads, in a model without weights."""
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.HEADS.NUM_CLASSES = 4
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        return [m.padding == 1 for m in build_model(cfg).modules() if isinstance(m, nn.MaxPool2d)]


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_configs_of_architectures_of_this_project_take_the_weights_as_they_were_trained(path, monkeypatch):
    monkeypatch.setattr("fastreid_projects.host.modeling.meta_arch.build.on_this_machine", lambda cfg: cfg)
    cfg = load_config(str(path))
    pools = padded_pools(cfg)
    assert all(pools)
    assert len(pools) == (0 if cfg.MODEL.SAL.SMALL_STEM else 1)


def test_a_run_from_before_keeps_its_stem(tmp_path, monkeypatch):
    monkeypatch.setattr("fastreid_projects.host.modeling.meta_arch.build.on_this_machine", lambda cfg: cfg)
    cfg = load_config(str(config_file("airnet_r18_demo")))
    cfg.MODEL.BACKBONE.PADDED_STEM = False
    saved = tmp_path / "config.yaml"
    saved.write_text(cfg.dump())
    assert padded_pools(load_config(str(saved))) == [False]


def test_the_shared_stages_of_airnet_are_torchvisions():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(weights=None).eval()
    cfg = load_config(
        str(config_file("airnet_r18_demo")), ["MODEL.HEADS.NUM_CLASSES", "3", "MODEL.DEVICE", "cpu"]
    )
    ours = build_model(cfg).backbone.eval()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if k in ours.state_dict()})
    images = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        expected = nn.Sequential(*list(theirs.children())[:-3])(images)
        assert torch.allclose(ours(images), expected, atol=1e-5)
