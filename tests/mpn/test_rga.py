"""RGA-S without the relation matrix equals RGA-S with it."""

import pytest
import torch

from fastreid_projects.errors import ConfigError
from fastreid_projects.mpn.rga import SpatialRelationAttention, add_spatial_attention


def plain_relations(layer, x):
    """The P x P relations in both directions as 2 P channels, then the mapping."""
    theta, phi = layer.theta(x).flatten(2), layer.phi(x).flatten(2)
    relations = theta.transpose(1, 2) @ phi  # r_ij, (N, P, P)
    stacked = torch.cat([relations.transpose(1, 2), relations], dim=1)  # (N, 2 P, P)
    return layer.relation @ stacked


@pytest.mark.parametrize("size", [(8, 4), (6, 3), (3, 2)])
def test_equals_the_long_way(size):
    torch.manual_seed(0)
    layer = SpatialRelationAttention(16, size[0] * size[1]).double().train()
    x = torch.randn(3, 16, *size, dtype=torch.float64, requires_grad=True)
    got, wanted = layer.relations(x), plain_relations(layer, x)
    torch.testing.assert_close(got, wanted)
    weights = torch.randn_like(got)
    gradients = [
        torch.autograd.grad((way(x) * weights).sum(), [x, layer.relation, layer.theta[0].weight])
        for way in (layer.relations, lambda x: plain_relations(layer, x))
    ]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_scales_positions_by_0_to_1():
    layer = SpatialRelationAttention(16, 32)
    x = torch.rand(2, 16, 8, 4) + 0.1
    ratio = layer(x) / x
    assert ((ratio > 0) & (ratio < 1)).all()
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))


def test_another_size_is_one_sentence():
    with pytest.raises(ConfigError, match=r"INPUT\.SIZE_TEST"):
        SpatialRelationAttention(16, 32)(torch.rand(1, 16, 8, 8))


def test_every_stage_gets_one():
    from fastreid.modeling.backbones import build_backbone

    from fastreid_projects.config import load_config

    cfg = load_config(opts=["MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.BACKBONE.DEPTH", "18x"])
    cfg.MODEL.BACKBONE.PRETRAIN = False
    backbone = build_backbone(cfg)
    names = set(backbone.state_dict())
    add_spatial_attention(backbone, [64, 32])
    last = [getattr(backbone, f"layer{i}")[-1] for i in range(1, 5)]
    assert [layer.positions for layer in last] == [16 * 8, 8 * 4, 4 * 2, 4 * 2]
    assert names < set(backbone.state_dict()), "pretrained weights fit as before"
    assert backbone(torch.rand(2, 3, 64, 32)).shape == (2, 512, 4, 2)
