"""Learning rates that fall towards the stem."""

import pytest
import torch

from fastreid_projects.errors import ConfigError
from fastreid_projects.host.solver.build import build_optimizer
from fastreid_projects.modeling.layer_decay import rate_factors
from tests.timm_families import FAMILIES

VIT = [
    *("MODEL.BACKBONE.NAME", "build_vit_backbone", "MODEL.BACKBONE.DEPTH", "small"),
    *("MODEL.BACKBONE.FEAT_DIM", 768, "MODEL.HEADS.POOL_LAYER", "ClassTokenPooling"),
    *("MODEL.HEADS.EMBEDDING_DIM", 0),
]


def build_hosts(cfg):
    from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

    cfg.MODEL.HEADS.NUM_CLASSES = 4
    return META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)


def test_each_block_has_a_share_of_the_next_ones_rate(build_timm, timm_cfg):
    family = FAMILIES["ViT, class token"]
    model = build_timm(family)
    factors = rate_factors(model, 0.5)
    assert factors["backbone.pos_embed"] == factors["backbone.patch_embed.proj.weight"] == 0.5**6
    assert factors["backbone.blocks.0.attn.qkv.weight"] == 0.5**5
    assert factors["backbone.blocks.4.mlp.fc2.bias"] == 0.5
    assert (
        factors["backbone.blocks.5.norm1.bias"]
        == factors["backbone.norm.weight"]
        == factors["heads.weight"]
        == 1.0
    )
    cfg = timm_cfg(
        family, "SOLVER.LAYER_DECAY", "0.5", "SOLVER.BASE_LR", "0.1", "SOLVER.HEADS_LR_FACTOR", "2.0"
    )
    optimizer, _ = build_optimizer(cfg, model)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(model.backbone.pos_embed)] == pytest.approx(0.1 * 0.5**6)
    assert rates[id(model.backbone.blocks[4].mlp.fc2.weight)] == pytest.approx(0.05)
    assert rates[id(model.heads.weight)] == pytest.approx(0.2)


@pytest.mark.parametrize("kind", ["ResNet", "ConvNeXt", "EfficientNet", "Swin", "DINOv3"])
def test_every_family_numbers_its_layers(kind, build_timm):
    model = build_timm(FAMILIES[kind])
    factors = rate_factors(model, 0.5)
    assert factors.keys() == dict(model.named_parameters()).keys()
    stem = ("conv", "embed", "stem")
    first = next(name for name in factors if name.startswith("backbone.") and any(s in name for s in stem))
    assert factors[first] == min(factors.values()) < 0.5


def test_the_hosts_vit_is_numbered_alike(tiny_cfg):
    model = build_hosts(tiny_cfg(*VIT, "INPUT.SIZE_TRAIN", [64, 32], "INPUT.SIZE_TEST", [64, 32]))
    factors = rate_factors(model, 0.5)
    assert factors["backbone.cls_token"] == factors["backbone.pos_embed"] == 0.5**8
    assert factors["backbone.blocks.6.norm1.weight"] == 0.5
    assert factors["backbone.norm.bias"] == factors["heads.weight"] == 1.0


def test_other_backbones_and_values_are_refused(tiny_cfg):
    model = build_hosts(tiny_cfg())
    assert set(rate_factors(model, 1.0).values()) == {1.0}
    with pytest.raises(ConfigError, match=r"LAYER_DECAY is for backbones .*; Sequential is another one; set"):
        rate_factors(model, 0.9)
    with pytest.raises(ConfigError, match=r"LAYER_DECAY is 1\.5, but has to be"):
        rate_factors(torch.nn.Linear(1, 1), 1.5)
