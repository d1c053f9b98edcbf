"""A ResNet whose blocks start as the identity only if the config asks for it."""

import pytest
import torch
from fastreid.modeling.backbones.resnet import BasicBlock, Bottleneck

from fastreid_projects.config import load_config
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.initialize import zero_residuals


def build(depth, *opts):
    own = ["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.DEPTH", depth, "MODEL.BACKBONE.PRETRAIN", "False"]
    width = ["MODEL.BACKBONE.FEAT_DIM", "512" if depth == "18x" else "2048", "MODEL.HEADS.NUM_CLASSES", "5"]
    return Trainer.build_model(load_config("", [*own, *width, "MODEL.HEADS.WITH_BNNECK", "True", *opts]))


def last_norms(model):
    return [
        m.bn2 if isinstance(m, BasicBlock) else m.bn3
        for m in model.modules()
        if isinstance(m, BasicBlock | Bottleneck)
    ]


@pytest.mark.parametrize(("depth", "blocks"), [("18x", 8), ("50x", 16)])
def test_the_key_silences_the_last_norm_of_every_block(depth, blocks):
    norms = last_norms(build(depth, "MODEL.BACKBONE.ZERO_INIT_RESIDUAL", "True"))
    assert len(norms) == blocks
    assert all(not norm.weight.any() and norm.weight.requires_grad for norm in norms)


def test_without_the_key_the_model_is_the_hosts():
    assert all(torch.equal(norm.weight, torch.ones_like(norm.weight)) for norm in last_norms(build("18x")))


def test_a_silent_block_is_the_identity():
    model = build("18x", "MODEL.BACKBONE.ZERO_INIT_RESIDUAL", "True").eval()
    x = torch.rand(1, 64, 8, 4)
    torch.testing.assert_close(model.backbone.layer1(x), x)


def test_a_model_without_residual_blocks():
    with pytest.raises(ConfigError, match="ZERO_INIT_RESIDUAL"):
        zero_residuals(torch.nn.Linear(2, 2))
