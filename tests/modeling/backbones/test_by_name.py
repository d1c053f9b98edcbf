"""ResNets of timm in every paper here: weights of torchvision's names fit, and give the same features."""

import pytest
import torch
from torch import nn

from fastreid_projects.checkpoints.pretrained import load_pretrained
from fastreid_projects.config import load_config
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.modeling.backbone_stages import split_stages
from fastreid_projects.sal.backbone import DilatedResNet
from tests.yaml_files import config_file

timm = pytest.importorskip("timm")

COMMON = [
    *("MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "4", "MODEL.BACKBONE.PRETRAIN", "False"),
    *("MODEL.BACKBONE.PADDED_STEM", "True", "INPUT.SIZE_TRAIN", "[128,64]", "INPUT.SIZE_TEST", "[128,64]"),
]
# The mean and standard deviation of timm's ResNet-18 are the host's defaults, to four digits.
TIMM = ["MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.BACKBONE.DEPTH", "resnet18"]
PAPERS = {
    "BoT": ("bagtricks_r18_demo", []),
    "FIDI": ("fidi_bagtricks_r18_demo", []),
    "BDB": ("fidi_bdb_r18_demo", []),
    "AIR-Net": ("airnet_r18_demo", ["MODEL.AIRNET.CONTEXT_AFTER", "[]"]),
    "MPN": ("mpn_r18_demo", []),
    "SAL": (
        "sal_r18_demo",
        [
            *("MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.BACKBONE.FEAT_DIM", "512"),
            *("MODEL.LOSSES.SAC.LAYERS", '("backbone.layer3", "backbone.layer4")'),
        ],
    ),
}


def build(name, *opts):
    torch.manual_seed(0)
    cfg = load_config(str(config_file(name)), [*COMMON, *opts])
    cfg.STAGES = []
    model = Trainer.build_model(cfg)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


@pytest.mark.parametrize("paper", PAPERS)
def test_a_papers_model_on_a_resnet_of_timm_is_the_same_model(paper):
    name, opts = PAPERS[paper]
    own, other = build(name, *opts), build(name, *opts, *TIMM)
    other.load_state_dict(own.state_dict())
    images = 255 * torch.rand(2, 3, 128, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(other(images), own(images), rtol=1e-4, atol=1e-5)


def test_torchvisions_weights_fit_and_its_maps_are_the_same(tmp_path):
    import torchvision

    plain = torchvision.models.resnet18()
    torch.save(plain.state_dict(), tmp_path / "resnet18.pth")
    own = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "resnet18.pth")]
    cfg = load_config(
        str(config_file("bagtricks_r18_demo")), [*COMMON, *TIMM, *own, "MODEL.BACKBONE.LAST_STRIDE", "2"]
    )
    backbone = Trainer.build_model(cfg).backbone.eval()
    images = torch.rand(2, 3, 128, 64)
    maps = nn.Sequential(*list(plain.eval().children())[:-2])(images)
    torch.testing.assert_close(backbone(images), maps)
    first = split_stages(backbone)[0](images)
    assert first.shape == (2, 64, 32, 16)  # the stem with its pooling, as of FastReID's


def test_sals_dilated_resnet_takes_weights_of_timm_by_name():
    torch.manual_seed(0)
    plain = timm.create_model("resnet18", num_classes=0, global_pool="").eval()
    model = DilatedResNet("18x", dilated=False, levels=(5,))
    load_pretrained(model, plain.state_dict(), "resnet18.pth")
    model.maxpool = nn.MaxPool2d(3, 2, padding=1)
    images = torch.rand(2, 3, 128, 64)
    torch.testing.assert_close(model.eval()(images), plain(images))


@pytest.mark.parametrize("levels", ["(4, 5, 6)", "(5,)"])
def test_sals_dilated_resnet_of_timm_is_the_same_model(levels):
    width = "1024" if levels == "(4, 5, 6)" else "512"
    opts = ["MODEL.SAL.LEVELS", levels, "MODEL.BACKBONE.FEAT_DIM", width]
    opts += [] if len(levels) > 4 else ["MODEL.LOSSES.NAME", '("CrossEntropyLoss",)']
    own = build("sal_r18_demo", *opts)
    there = ["MODEL.BACKBONE.NAME", "build_dilated_timm_backbone", "MODEL.BACKBONE.DEPTH", "resnet18"]
    other = build("sal_r18_demo", *opts, *there)
    other.load_state_dict(own.state_dict())
    images = 255 * torch.rand(2, 3, 128, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(other(images), own(images), rtol=1e-4, atol=1e-5)


def test_sals_dilated_resnet_of_a_resnet_d_keeps_its_resolution():
    opts = ["MODEL.BACKBONE.NAME", "build_dilated_timm_backbone", "MODEL.BACKBONE.DEPTH", "resnet18d"]
    maps = build("sal_r18_demo", *opts).backbone(torch.zeros(1, 3, 128, 64))
    assert [tuple(level.shape[2:]) for level in maps] == [(16, 8)] * 3


def test_sals_dilated_resnet_of_another_family_is_refused():
    from fastreid_projects.errors import ConfigError

    opts = ["MODEL.BACKBONE.NAME", "build_dilated_timm_backbone", "MODEL.BACKBONE.DEPTH", "test_convnext"]
    with pytest.raises(
        ConfigError, match=r"test_convnext of build_dilated_timm_backbone is not a ResNet of 512"
    ):
        build("sal_r18_demo", *opts)


def test_airnet_on_another_family_is_refused_with_the_way_out():
    from fastreid_projects.errors import ConfigError

    opts = ["MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.BACKBONE.DEPTH", "test_convnext"]
    with pytest.raises(ConfigError, match=r"use build_resnet_backbone, or a ResNet of timm$"):
        build("airnet_r18_demo", *opts, "MODEL.BACKBONE.FEAT_DIM", "64", "MODEL.AIRNET.CONTEXT_AFTER", "[]")
