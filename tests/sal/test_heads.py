"""The multi-level head, by itself and in the host's Baseline."""

import copy

import pytest
import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils.events import EventStorage

from fastreid_projects.config import load_config
from fastreid_projects.errors import ConfigError
from fastreid_projects.host.modeling.meta_arch.losses import INPUTS
from fastreid_projects.losses import LOSSES
from fastreid_projects.sal.heads import MultiLevelHead
from fastreid_projects.sal.losses import self_attention_constraint

SAL = [
    *("MODEL.DEVICE", "cpu", "MODEL.BACKBONE.NAME", "build_dilated_resnet_backbone"),
    *("MODEL.BACKBONE.DEPTH", "18x", "MODEL.BACKBONE.FEAT_DIM", "1024"),
    *("MODEL.HEADS.NAME", "MultiLevelHead", "MODEL.HEADS.EMBEDDING_DIM", "1024"),
    *("MODEL.HEADS.NECK_FEAT", "after", "MODEL.HEADS.NUM_CLASSES", "4"),
]
ALL = "('CrossEntropyLoss', 'SelfAttentionConstraint', 'QuadrupletHardLoss')"
BATCH = {"images": torch.rand(8, 3, 64, 32) * 255, "targets": torch.arange(8) // 2}


def build(*opts):
    torch.manual_seed(0)
    cfg = load_config("", [*SAL, *opts])
    return META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)


def losses(model, batch=BATCH):
    with EventStorage():
        return model.train()({key: value.clone() for key, value in batch.items()})


def head(*opts):
    return MultiLevelHead(load_config("", [*SAL, *opts]))


def test_it_pools_each_level_and_maps_them_together():
    own = head().eval()
    levels = [torch.rand(2, c, 3, 2) for c in (256, 512, 256)]
    linear = own.bottleneck[0]
    pooled = torch.cat([level.mean(dim=(2, 3)) for level in levels], dim=1)
    expected = pooled @ linear.weight[..., 0, 0].t() + linear.bias
    torch.testing.assert_close(own(levels), expected)
    torch.testing.assert_close(own(torch.cat(levels, dim=1)), expected)
    assert expected.shape == (2, 1024)


@pytest.mark.parametrize("pool", ["GlobalMaxPool", "GeneralizedMeanPooling", "AdaptiveAvgMaxPool"])
def test_any_pooling_sees_the_maps_once(pool):
    own = head("MODEL.HEADS.POOL_LAYER", pool).eval()
    levels = [torch.rand(2, c, 3, 2) for c in (256, 512, 256)]
    torch.testing.assert_close(own(levels), own(torch.cat(levels, dim=1)))


CHANNEL_POOLINGS = ["AttentionPooling", "SoftmaxAttentionPooling", "ContextMaxPool"]


@pytest.mark.parametrize("pool", CHANNEL_POOLINGS)
def test_a_pooling_with_weights_has_them_for_each_level(pool):
    own = head("MODEL.HEADS.POOL_LAYER", pool).eval()
    for weights in own.pool_layer.parameters():
        weights.data.normal_()
    levels = [torch.rand(2, c, 3, 2) for c in (256, 512, 256)]
    pooled = torch.cat([one(level) for one, level in zip(own.pool_layer, levels, strict=True)], dim=1)
    torch.testing.assert_close(own(levels), own.bottleneck(pooled).flatten(1))
    torch.testing.assert_close(own(torch.cat(levels, dim=1)), own(levels), msg="side by side, for AMD")


@pytest.mark.parametrize("pool", CHANNEL_POOLINGS)
def test_a_pooling_with_weights_trains_on_levels_and_on_one(pool):
    for levels, channels in (
        (("MODEL.SAL.LEVELS", "(4, 5, 6)"), "1024"),
        (("MODEL.SAL.LEVELS", "(5,)"), "512"),
    ):
        opts = ["MODEL.HEADS.POOL_LAYER", pool, *levels, "MODEL.BACKBONE.FEAT_DIM", channels]
        model = build(*opts, "MODEL.LOSSES.NAME", "('CrossEntropyLoss',)")
        sum(losses(model).values()).backward()
        assert all(p.grad is not None for p in model.heads.pool_layer.parameters())


def test_poolings_of_the_host_keep_their_names():
    assert list(head().pool_layer.state_dict()) == []
    gem = head("MODEL.HEADS.POOL_LAYER", "GeneralizedMeanPoolingP")
    assert list(gem.pool_layer.state_dict()) == ["p"]


def test_losses_see_the_linear_layers_feature():
    own = head().train()
    out = own([torch.rand(4, c, 3, 2) for c in (256, 512, 256)], torch.arange(4))
    assert out["features"].shape == (4, 1024)
    torch.testing.assert_close(out["pred_class_logits"], out["features"] @ own.weight.t())


def test_bias_only_where_no_batchnorm_follows():
    assert head().bottleneck[0].bias is not None
    assert head("MODEL.HEADS.WITH_BNNECK", "True").bottleneck[0].bias is None
    assert len(head("MODEL.HEADS.EMBEDDING_DIM", "0").bottleneck) == 0


def test_baseline_trains_all_three_losses():
    model = build("MODEL.LOSSES.NAME", ALL)
    out = losses(model)
    assert set(out) == {"loss_cls", "loss_self_attention_constraint", "loss_quadruplet_hard"}
    sum(out.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert model.eval()({"images": BATCH["images"].clone()}).shape == (8, 1024)


def test_the_constraint_sees_the_levels_and_its_scale():
    model = build("MODEL.LOSSES.NAME", ALL, "MODEL.LOSSES.SAC.SCALE", "3")
    twin = copy.deepcopy(model).train()
    expected = 3 * self_attention_constraint(
        twin.backbone(twin.preprocess_image({"images": BATCH["images"].clone()}))
    )
    torch.testing.assert_close(losses(model)["loss_self_attention_constraint"], expected)
    copied = losses(copy.deepcopy(model))["loss_self_attention_constraint"]
    torch.testing.assert_close(copied, losses(model)["loss_self_attention_constraint"])


@pytest.mark.parametrize(
    ("layers", "opts"),
    [
        ("('backbone.layer3', 'backbone.layer4')", ["MODEL.BACKBONE.NAME", "build_resnet_backbone"]),
        (
            "('backbone.layer2.1.conv1', 'backbone.layer3', 'backbone.layer4.0')",
            ["MODEL.BACKBONE.NAME", "build_resnet_backbone"],
        ),
        (
            "('backbone.conv3', 'backbone.conv4', 'backbone.conv5')",
            ["MODEL.BACKBONE.NAME", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25"],
        ),
    ],
)
def test_the_constraint_works_in_any_host_model(layers, opts):
    more = [
        "MODEL.BACKBONE.FEAT_DIM",
        "512" if "resnet" in opts[1] else "128",
        "MODEL.HEADS.NAME",
        "EmbeddingHead",
    ]
    more += ["MODEL.HEADS.EMBEDDING_DIM", "0", "MODEL.LOSSES.SAC.LAYERS", layers]
    names = ["MODEL.LOSSES.NAME", "('CrossEntropyLoss', 'SelfAttentionConstraint')"]
    model = build(*opts, *more, *names)
    loss = losses(model)["loss_self_attention_constraint"]
    assert 0 < loss.item() < 4
    assert not any(maps._maps for maps in model.loss_maps.values()), "maps are let go of"
    loss.backward()
    gradients = [p.grad for p in model.backbone.parameters() if p.grad is not None]
    assert any(g.any() for g in gradients)


def test_the_constraint_works_in_mgn():
    opts = [
        "MODEL.META_ARCHITECTURE",
        "MGN",
        "MODEL.BACKBONE.NAME",
        "build_resnet_backbone",
        "MODEL.BACKBONE.DEPTH",
    ]
    opts += [
        "50x",
        "MODEL.BACKBONE.FEAT_DIM",
        "2048",
        "MODEL.HEADS.NAME",
        "EmbeddingHead",
        "INPUT.SIZE_TRAIN",
    ]
    opts += ["[96, 32]", "INPUT.SIZE_TEST", "[96, 32]", "MODEL.HEADS.EMBEDDING_DIM", "16"]
    names = ["MODEL.LOSSES.NAME", "('CrossEntropyLoss', 'SelfAttentionConstraint')"]
    model = build(*opts, *names, "MODEL.LOSSES.SAC.LAYERS", "('b1', 'b2', 'b3')")
    out = losses(model, {"images": torch.rand(4, 3, 96, 32), "targets": torch.arange(4) // 2})
    assert 0 <= out["loss_self_attention_constraint"].item() < 4


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ("('backbone.layer9',)", ["MODEL.LOSSES.SAC.LAYERS", "backbone.layer9", "backbone.layer3"]),
        ("('heads.bottleneck', 'backbone')", []),
        ("('heads', 'backbone')", ["MODEL.LOSSES.SAC.LAYERS", "heads"]),
    ],
)
def test_layers_that_give_no_maps(layers, words):
    names = ["MODEL.LOSSES.NAME", "('CrossEntropyLoss', 'SelfAttentionConstraint')"]
    if not words:
        assert losses(build(*names, "MODEL.LOSSES.SAC.LAYERS", layers))
        return
    with pytest.raises(ConfigError) as error:
        losses(build(*names, "MODEL.LOSSES.SAC.LAYERS", layers))
    for word in words:
        assert word in str(error.value)


RESNET = ["MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.BACKBONE.FEAT_DIM", "512"]


@pytest.mark.parametrize(
    ("opts", "count", "when_built"),
    [
        (RESNET, 1, True),
        ([*RESNET, "MODEL.HEADS.NAME", "EmbeddingHead"], 1, True),
        (["MODEL.SAL.LEVELS", "(5,)", "MODEL.BACKBONE.FEAT_DIM", "512"], 1, True),
        (["MODEL.LOSSES.SAC.LAYERS", "()"], 0, True),
        (["MODEL.LOSSES.SAC.LAYERS", "('backbone.layer4',)"], 1, False),
    ],
)
def test_a_constraint_on_fewer_than_two_maps_is_one_sentence(opts, count, when_built):
    names = ["MODEL.LOSSES.NAME", "('CrossEntropyLoss', 'SelfAttentionConstraint')"]
    model = None if when_built else build(*opts, *names)
    with pytest.raises(ConfigError) as error:
        losses(model) if model else build(*opts, *names)
    text = str(error.value)
    assert text.startswith("MODEL.LOSSES.SAC.LAYERS (")
    assert f"{count} feature map" in text
    assert "('backbone.layer3','backbone.layer4')" in text


def test_precise_bn_asks_for_no_quadruplet():
    """utils/precision_bn.py:60 sets all labels to -1, which Baseline makes 0."""
    model = build("MODEL.LOSSES.NAME", ALL)
    with torch.no_grad():
        losses(model, {**BATCH, "targets": torch.full((8,), -1)})
        assert "loss_quadruplet_hard" in losses(model)


def test_every_registered_loss_trains_sal():
    """Whatever a paper registers on features, logits or feature maps."""
    model_losses = [name for name, cls in LOSSES.items() if cls.inputs in INPUTS]
    assert {"FIDILoss", "BatchHardTripletLoss", "CircleLoss", "SelfAttentionConstraint"} <= set(model_losses)
    out = losses(build("MODEL.LOSSES.NAME", str(tuple(model_losses))))
    assert len(out) == len(model_losses)
    assert all(torch.isfinite(value) for value in out.values())
    sum(out.values()).backward()
