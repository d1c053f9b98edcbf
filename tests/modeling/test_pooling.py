"""Pooling layers of plug-ins, with and without weights, in the host's heads."""

import pytest
import torch
from fastreid.config import get_cfg
from fastreid.layers import pooling
from fastreid.modeling.heads import build_heads
from torch import nn

from fastreid_projects.config.checks import check_host_config
from fastreid_projects.host.modeling.heads.embedding_head import patch_heads
from fastreid_projects.modeling.pooling import HOST_POOLING, POOLING, ChannelPooling, register_pooling


@pytest.fixture
def scaled_pooling():
    """A layer with one weight for each channel, which only this test knows."""

    class ScaledPooling(ChannelPooling):
        def build(self, channels):
            self.scale = nn.Parameter(torch.full((channels,), 2.0))

        def forward(self, features):
            return features.mean(dim=(2, 3), keepdim=True) * self.scale[:, None, None]

    yield register_pooling(ScaledPooling)
    del POOLING["ScaledPooling"]


def head_of(name, **keys):
    cfg = get_cfg()
    cfg.MODEL.HEADS.POOL_LAYER, cfg.MODEL.HEADS.NUM_CLASSES, cfg.MODEL.BACKBONE.FEAT_DIM = name, 3, 16
    for key, value in keys.items():
        cfg.MODEL.HEADS[key] = value
    return build_heads(cfg).eval(), cfg


def test_a_layer_with_weights_is_told_its_channels(scaled_pooling):
    features = torch.rand(2, 16, 4, 2)
    head, cfg = head_of("ScaledPooling")
    check_host_config(cfg)
    assert torch.allclose(head(features), 2 * features.mean(dim=(2, 3)))
    head, _ = head_of("ScaledPooling", EMBEDDING_DIM=5)
    assert head.pool_layer.scale.shape == (16,), "pooled before the neck"
    assert head(features).shape == (2, 5)


def test_a_name_of_the_hosts_is_taken():
    assert set(HOST_POOLING) == set(pooling.__all__)
    with pytest.raises(ValueError, match="GlobalAvgPool is already registered"):
        register_pooling(type("GlobalAvgPool", (ChannelPooling,), {}))


def test_the_hosts_own_layers_are_as_they_were():
    for name in ("GlobalAvgPool", "GlobalMaxPool", "GeneralizedMeanPoolingP", "Identity"):
        head, _ = head_of(name)
        assert type(head.pool_layer) is getattr(pooling, name)


def test_mended_once(scaled_pooling):
    patch_heads()
    calls = []
    scaled_pooling.build = lambda self, channels: calls.append(channels)
    head_of("ScaledPooling")
    assert calls == [16]


def test_the_host_gives_no_channels(unpatched):
    assert "missing 1 required positional argument: 'channels'" in unpatched["pooling_with_channels"]
