"""The padded stem: the host's ResNet with torchvision's weights gives torchvision's map."""

import pytest
import torch
import torchvision
from torch import nn

from fastreid_projects.host.modeling.meta_arch.build import build_model
from fastreid_projects.modeling.stem import pad_stem
from fastreid_projects.plugins import get_cfg


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
