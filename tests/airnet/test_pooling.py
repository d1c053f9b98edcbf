"""Attention-based pooling against eq. 3, and pooling layers with weights in the host's heads."""

import pytest
import torch
from torch import nn

import fastreid_projects  # noqa: F401  (patches the host)

pytest.importorskip("fastreid")
from fastreid.layers import pooling
from fastreid.layers.context_block import ContextBlock
from fastreid.modeling.heads import build_heads
from torch.utils.flop_counter import FlopCounterMode

from fastreid_projects import plugins
from fastreid_projects.airnet.pooling import (
    AttentionPooling,
    ContextMaxPool,
    SoftmaxAttentionPooling,
    attention_pool,
    attention_pool_plain,
)
from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.pooling import ChannelPooling, register_pooling

N, C, H, W = 3, 6, 4, 2


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    shapes = ((N, C, H, W), (C, 1), (C, C))
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


def loop(features, w_u, w_v, softmax=False):
    """Eq. 3, number by number: I_c = sum over positions of (X W_v)_{pc} (X W_u)_p."""
    result = torch.zeros(features.shape[:2], dtype=features.dtype)
    for n in range(len(features)):
        positions = [features[n, :, y, x] for y in range(features.shape[2]) for x in range(features.shape[3])]
        weights = [sum(float(p[a] * w_u[a, 0]) for a in range(len(p))) for p in positions]
        if softmax:
            weights = torch.tensor(weights, dtype=features.dtype).softmax(0).tolist()
        for weight, p in zip(weights, positions, strict=True):
            for c in range(len(p)):
                result[n, c] += weight * sum(float(p[a] * w_v[a, c]) for a in range(len(p)))
    return result


@pytest.mark.parametrize("softmax", [False, True])
def test_equals_equation_3_number_by_number(inputs, softmax):
    assert torch.allclose(attention_pool(*inputs, softmax=softmax), loop(*inputs, softmax=softmax))


def test_the_cheap_order_equals_the_papers_in_value_and_gradient(inputs):
    inputs = [value.requires_grad_() for value in inputs]
    direction = torch.randn(N, C, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    results = []
    for way in (attention_pool, attention_pool_plain):
        pooled = way(*inputs)
        results.append((pooled, *torch.autograd.grad((pooled * direction).sum(), inputs)))
    for cheap, plain in zip(*results, strict=True):
        assert torch.allclose(cheap, plain)


@pytest.mark.parametrize("softmax", [False, True])
def test_gradient(inputs, softmax):
    inputs = [value.requires_grad_() for value in inputs]
    assert torch.autograd.gradcheck(lambda *values: attention_pool(*values, softmax), inputs)


def test_a_toy_by_hand():
    """One channel of two positions 1 and 2, W_u = 3, W_v = 5: (1 * 3) * (1 * 5) + (2 * 3) * (2 * 5) = 75."""
    one = torch.tensor([[[[1.0, 2.0]]]])
    assert attention_pool(one, torch.tensor([[3.0]]), torch.tensor([[5.0]])).item() == 75


def test_degenerate_weights(inputs):
    """W_v = 1 and a softmax over equal scores: average pooling; W_u = 0 without a softmax: nothing."""
    features = inputs[0]
    identity, zero = torch.eye(C, dtype=torch.float64), torch.zeros(C, 1, dtype=torch.float64)
    assert torch.allclose(attention_pool(features, zero, identity, softmax=True), features.mean(dim=(2, 3)))
    assert not attention_pool(features, zero, identity).any()


def test_positions_may_be_reordered_and_images_do_not_mix(inputs):
    features, w_u, w_v = inputs
    pooled = attention_pool(features, w_u, w_v)
    assert torch.allclose(attention_pool(features.flip(2, 3), w_u, w_v), pooled)
    assert torch.allclose(attention_pool(features[1:2], w_u, w_v), pooled[1:2])


def test_half_precision_stays_finite():
    """Squares of features summed over 288 positions leave float16's range."""
    layer = AttentionPooling()
    layer.build(C)
    nn.init.ones_(layer.w_u)
    nn.init.ones_(layer.w_v)
    features = torch.full((1, C, 24, 12), 30.0)
    expected = layer(features)
    assert expected.max() > torch.finfo(torch.float16).max
    with torch.autocast("cpu", dtype=torch.float16):
        pooled = layer(features.half())
    assert pooled.dtype == torch.float32
    assert torch.allclose(pooled, expected)


def test_work_does_not_grow_with_positions_times_channels_squared():
    def flops(way, height):
        channels = 64
        values = (
            torch.ones(2, channels, height, 4),
            torch.ones(channels, 1),
            torch.ones(channels, channels),
        )
        with FlopCounterMode(display=False) as counter:
            way(*values)
        return counter.get_total_flops()

    channels, positions = 64, 32
    assert flops(attention_pool, 8) <= 2 * 2 * (2 * positions * channels + channels**2)
    assert flops(attention_pool_plain, 8) > 2 * 2 * positions * channels**2


@pytest.mark.parametrize("name", ["AttentionPooling", "SoftmaxAttentionPooling", "ContextMaxPool"])
@pytest.mark.parametrize("embedding", ["0", "5"])
@pytest.mark.parametrize("head", ["EmbeddingHead", "ClasHead"])
def test_any_head_of_the_host_may_pool_with_it(name, embedding, head):
    cfg = plugins.get_cfg()
    cfg.MODEL.HEADS.NAME, cfg.MODEL.HEADS.POOL_LAYER, cfg.MODEL.HEADS.WITH_BNNECK = head, name, True
    cfg.MODEL.BACKBONE.FEAT_DIM, cfg.MODEL.HEADS.EMBEDDING_DIM, cfg.MODEL.HEADS.NUM_CLASSES = (
        32,
        int(embedding),
        3,
    )
    built = build_heads(cfg)
    features = torch.rand(4, 32, 4, 2)
    outputs = built(features, torch.arange(4) % 3)
    outputs["cls_outputs"].square().sum().backward()
    assert all(parameter.grad is not None for parameter in built.pool_layer.parameters())
    assert built.eval()(features).shape == (4, int(embedding) or 32) if head == "EmbeddingHead" else True


def test_options_of_the_layers():
    layers = [AttentionPooling(), SoftmaxAttentionPooling()]
    for layer in layers:
        torch.manual_seed(0)
        layer.build(C)
    features = torch.rand(N, C, H, W)
    for layer in layers:
        expected = attention_pool(features, layer.w_u, layer.w_v, layer.softmax)
        assert torch.equal(layer(features), expected[..., None, None])
    assert "softmax=True" in repr(layers[1])


def test_context_pooling_starts_as_max_pooling():
    layer = ContextMaxPool()
    layer.build(32)
    assert isinstance(layer.context, ContextBlock)
    features = torch.randn(N, 32, H, W)
    assert torch.equal(layer(features), features.amax(dim=(2, 3), keepdim=True))
    assert torch.equal(layer(features.to(memory_format=torch.channels_last)), layer(features))
    nn.init.normal_(layer.context.channel_add_conv[-1].weight)
    added = layer.context(features) - features
    assert torch.allclose(added, added[..., :1, :1].expand_as(added), atol=1e-5), (
        "one vector for all positions"
    )


def test_another_number_of_channels_is_a_sentence():
    layer = AttentionPooling()
    layer.build(C)
    with pytest.raises(ConfigError, match=r"6 channels.*has 7; set MODEL\.BACKBONE\.FEAT_DIM to 7"):
        layer(torch.rand(1, 7, 2, 2))


def test_a_name_is_registered_once():
    class AttentionPooling(ChannelPooling):
        pass

    with pytest.raises(ValueError, match="AttentionPooling is already registered"):
        register_pooling(AttentionPooling)
    assert pooling.AttentionPooling is not AttentionPooling
