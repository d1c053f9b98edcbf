"""AIR-Net against its equations: branches, parameters, losses, variants, and what it refuses."""

import pytest
import torch

import fastreid_projects  # noqa: F401  (patches the host)

pytest.importorskip("fastreid")
from fastreid.layers.batch_norm import IBN
from fastreid.layers.context_block import ContextBlock
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils.events import EventStorage
from torch.utils.flop_counter import FlopCounterMode

from fastreid_projects import plugins
from fastreid_projects.airnet.pooling import AttentionPooling, attention_pool, context_block
from fastreid_projects.config import load_config
from fastreid_projects.errors import ConfigError
from fastreid_projects.losses import LOSSES, batch_hard_triplet_loss
from tests.yaml_files import config_file

VARIANTS = {
    "airnet_one_branch_max": (1, ["1"]),
    "airnet_one_branch_attention": (1, ["1"]),
    "airnet_one_branch_context": (1, ["1"]),
    "airnet_two_branches_max_context": (2, ["1", "2"]),
    "airnet_two_branches_max_attention": (2, ["1", "2"]),
    "airnet_two_branches_max_maxcontext": (2, ["1", "2a", "2b"]),
    "airnet": (2, ["1", "2a", "2b"]),
}


def batch(count=8, size=(64, 32), seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, *size, generator=generator) * 255
    return {"images": images, "targets": torch.arange(count) // 2}


def on_meta(config):
    """A model without memory, to count it."""
    cfg = load_config(str(config_file(f"{config}.yml")))
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.HEADS.NUM_CLASSES = 751
    with torch.device("meta"):
        return META_ARCH_REGISTRY.get("AIRNet")(cfg)


def millions(model):
    """Parameters without the classifiers."""
    counts = {name: p.numel() for name, p in model.named_parameters()}
    return (
        sum(n for name, n in counts.items() if not (name.startswith("heads") and name.count(".") == 2)) / 1e6
    )


# What table 2 counts


def test_parameters_of_the_whole_network_and_of_the_baseline():
    """About 42 M and 24 M in table 2: ResNet-50 23.508, a second 5th stage 14.965, W_v and W_u, three BatchNorms."""
    whole = 23.508032 + 14.964736 + (2048 * 2048 + 2048 + 3 * 2 * 2048) / 1e6
    assert millions(on_meta("airnet_r50ibn_market1501")) == pytest.approx(whole, abs=1e-6)
    assert whole == pytest.approx(42.7, abs=0.05)
    assert millions(on_meta("airnet_one_branch_max_r50ibn_market1501")) == pytest.approx(23.512128, abs=1e-6)


@pytest.mark.parametrize("dataset", ["cuhk03_labeled", "cuhk03_detected", "market1501", "msmt17"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rows_of_table_3(variant, dataset):
    branches, heads = VARIANTS[variant]
    model = on_meta(f"{variant}_r50ibn_{dataset}")
    assert len(model.branches) == branches
    assert list(model.heads) == heads
    pools = " ".join(type(head.pool_layer).__name__ for head in model.heads.values())
    assert ("AttentionPooling" in pools) == (variant == "airnet" or variant.endswith("attention"))
    assert ("ContextMaxPool" in pools) == variant.endswith("context")
    assert any(name.endswith("IN.weight") for name, _ in model.backbone.named_parameters())
    assert not any(isinstance(m, ContextBlock) for m in model.backbone.modules())


def test_the_plain_resnet_has_context_blocks_after_its_third_and_fourth_stages():
    model = on_meta("airnet_context_blocks_r50_market1501")
    blocks = {name: m for name, m in model.backbone.named_modules() if isinstance(m, ContextBlock)}
    assert {name: m.inplanes for name, m in blocks.items()} == {"layer2.4": 512, "layer3.6": 1024}
    assert not any("IN.weight" in name for name, _ in model.named_parameters())
    assert len(model.branches) == 2


def test_the_training_values_of_section_4_2():
    cfg = load_config(str(config_file("airnet_r50ibn_msmt17.yml")))
    assert (list(cfg.INPUT.SIZE_TRAIN), list(cfg.INPUT.SIZE_TEST)) == ([384, 192], [384, 192])
    assert (cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE, cfg.SOLVER.MAX_EPOCH) == (64, 4, 200)
    assert (cfg.SOLVER.OPT, cfg.SOLVER.BASE_LR, cfg.SOLVER.WEIGHT_DECAY) == ("Adam", 3.5e-4, 5e-4)
    assert (cfg.SOLVER.STEPS, cfg.SOLVER.GAMMA) == ([40, 70], 0.1)
    node = cfg.MODEL.LOSSES.BATCH_HARD
    assert (node.METRIC, node.MARGIN, cfg.TEST.METRIC) == ("cosine", 0.2, "cosine")
    assert cfg.INPUT.FLIP.ENABLED
    assert cfg.INPUT.REA.ENABLED


# What it computes


def test_branches_start_equal_and_share_nothing(build_airnet):
    model = build_airnet()
    first, second = (dict(branch.named_parameters()) for branch in model.branches)
    for name, value in first.items():
        assert torch.equal(value, second[name])
        assert value.data_ptr() != second[name].data_ptr()
    assert not list(model.backbone.layer4.parameters())


def test_the_feature_is_the_three_representations_after_their_batch_norm(build_airnet):
    model = build_airnet().eval()
    for module in model.modules():  # statistics as after some training
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    images = batch(3)["images"]
    with torch.no_grad():
        x_0 = model.backbone((images - model.pixel_mean) / model.pixel_std)
        x_a, x_i = (branch(x_0) for branch in model.branches)
        pool = model.heads["2b"].pool_layer
        a_1, a_2 = x_a.amax(dim=(2, 3)), x_i.amax(dim=(2, 3))
        interaction = attention_pool(x_i, pool.w_u, pool.w_v)
        parts = zip((a_1, a_2, interaction), model.heads.values(), strict=True)
        expected = torch.cat([head.bottleneck(v[..., None, None]).flatten(1) for v, head in parts], dim=1)
        assert x_0.shape[-2:] == (4, 2)
        assert x_a.shape[-2:] == (4, 2), "the stride of the 5th stage is 1"
        assert torch.allclose(model(images), expected, atol=1e-5)
        assert torch.equal(model({"images": images}), model(images))
    assert expected.shape == (3, 3 * 512)


def test_losses_are_averaged_over_the_representations(build_airnet):
    model = build_airnet()
    data = batch()
    with EventStorage(0):
        losses = model(data)
    assert set(losses) == {
        f"loss_{kind}_{name}" for kind in ("cross_entropy", "batch_hard_triplet") for name in model.heads
    }
    maps = model.branch_maps(model.preprocess_image(data))
    for name, head in model.heads.items():
        output = head(maps[name], data["targets"])
        entropy = torch.nn.functional.cross_entropy(output["cls_outputs"], data["targets"])
        triplet = batch_hard_triplet_loss(output["features"], data["targets"], margin=0.2, metric="cosine")
        assert losses[f"loss_cross_entropy_{name}"].item() == pytest.approx(entropy.item() / 3, rel=1e-4)
        assert losses[f"loss_batch_hard_triplet_{name}"].item() == pytest.approx(triplet.item() / 3, rel=1e-4)
        assert torch.equal(output["features"], head.pool_layer(maps[name])[..., 0, 0]), "before the BatchNorm"


plugins.register_all()
IN_PLACE = sorted(name for name, loss in LOSSES.items() if loss.inputs in ("features", "logits"))


@pytest.mark.parametrize("name", [name for name in IN_PLACE if name != "CrossEntropyLoss"])
def test_another_registered_loss_in_place_of_the_triplet(build_airnet, name):
    model = build_airnet("MODEL.LOSSES.NAME", f"('CrossEntropyLoss', '{name}')")
    with EventStorage(0):
        losses = model(batch())
    assert len(losses) == 6
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("variant", [*VARIANTS, "airnet_context_blocks"])
def test_every_variant_takes_a_step_that_moves_all_of_it(build_airnet, variant):
    model = build_airnet(config=f"{variant}_r18_demo")
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    with EventStorage(0):
        sum(model(batch()).values()).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    stuck = {name for name, p in model.named_parameters() if name in before and torch.equal(before[name], p)}
    # A context block starts as the identity: its last convolution moves first.
    context = {f"{n}." for n, m in model.named_modules() if isinstance(m, ContextBlock)}
    assert all(name.startswith(tuple(context)) and "channel_add_conv.3" not in name for name in stuck), stuck


def test_the_losses_of_one_branch_do_not_reach_the_other(build_airnet):
    model = build_airnet()
    with EventStorage(0):
        losses = model(batch())
    (losses["loss_cross_entropy_2b"] + losses["loss_batch_hard_triplet_2b"]).backward()
    assert all(p.grad is None for p in model.branches[0].parameters())
    assert all(p.grad is not None for p in model.branches[1].parameters())


def test_a_batch_is_left_as_it_is(build_airnet):
    model = build_airnet()
    data = {"images": batch()["images"], "targets": torch.full((8,), -1)}  # PreciseBN
    copies = {key: value.clone() for key, value in data.items()}
    with EventStorage(0):
        model(data)
    assert all(torch.equal(data[key], copies[key]) for key in data)


def test_attention_pooling_costs_little_of_its_branch():
    """Below 3 % of the operations of the 5th stage at the paper's size."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        on_meta("airnet_r50ibn_market1501").branches[1].eval()(torch.zeros(1, 1024, 24, 12))
    branch = counter.get_total_flops()
    layer = AttentionPooling()
    layer.build(2048)
    with FlopCounterMode(display=False) as counter:
        layer(torch.zeros(1, 2048, 24, 12))
    assert 0 < counter.get_total_flops() < 0.03 * branch


# What it refuses


@pytest.mark.parametrize(
    "opts, words",
    [
        (
            ["INPUT.SIZE_TEST", "[64, 16]"],
            "INPUT.SIZE_TEST [64, 16] gives AIR-Net a feature map of 4 x 1, too small",
        ),
        (
            ["INPUT.SIZE_TRAIN", "[2, 2]"],
            "INPUT.SIZE_TRAIN [2, 2] gives AIR-Net a feature map of 0 x 0, too small",
        ),
        (["INPUT.CROP.ENABLED", "True", "INPUT.CROP.SIZE", "[16, 16]"], "INPUT.CROP.SIZE [16, 16]"),
        (["INPUT.SIZE_TEST", "[32]"], "INPUT.SIZE_TEST is [32], but AIR-Net needs [height, width]"),
        (
            ["INPUT.SIZE_TRAIN", "[64, 32, 3]"],
            "INPUT.SIZE_TRAIN is [64, 32, 3], but AIR-Net needs [height, width]",
        ),
        (["MODEL.HEADS.NAME", "AttributeDecompositionHead"], "use EmbeddingHead"),
        (["MODEL.HEADS.NAME", "MPNHead"], "MODEL.HEADS.NAME MPNHead belongs to an architecture other than"),
        (["MODEL.BACKBONE.LAST_STRIDE", "2", "INPUT.SIZE_TEST", "[64, 32]"], "at least 64 x 64"),
        (["MODEL.BACKBONE.FEAT_DIM", "2048"], "gives 512 channels; set it to that"),
        (["MODEL.BACKBONE.NAME", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25"], "has no layer1"),
        (["MODEL.AIRNET.BRANCHES", "[]"], "a list of pooling layers for each branch"),
        (["MODEL.AIRNET.BRANCHES", "['GlobalMaxPool']"], "a list of pooling layers for each branch"),
        (["MODEL.AIRNET.BRANCHES", "[['GlobalMaxPool'], []]"], "a list of pooling layers for each branch"),
        (
            ["MODEL.AIRNET.BRANCHES", "[['GMP']]"],
            "'GMP' in branch 1, which is not a pooling layer; known are",
        ),
        (["MODEL.AIRNET.BRANCHES", "[['Flatten']]"], "'Flatten' in branch 1, which is not a pooling layer"),
        (["MODEL.AIRNET.BRANCHES", "[['Identity']]"], "'Identity' in branch 1, which is not a pooling layer"),
        (
            ["MODEL.AIRNET.BRANCHES", "[['GlobalMaxPool', 'GlobalMaxPool']]"],
            "the same pooling twice for branch 1",
        ),
        (
            ["MODEL.AIRNET.BRANCHES", "[['AttentionPooling', 'SoftmaxAttentionPooling']]"],
            "with and without a softmax",
        ),
        (["MODEL.HEADS.POOL_LAYER", "AttentionPooling"], "contradicts MODEL.AIRNET.BRANCHES"),
        (["MODEL.AIRNET.CONTEXT_AFTER", "['layer5']"], "names 'layer5'"),
        (["MODEL.AIRNET.CONTEXT_AFTER", "['layer2', 'layer2']"], "twice"),
        (
            ["MODEL.AIRNET.CONTEXT_AFTER", "['layer2']", "MODEL.BACKBONE.WITH_IBN", "True"],
            "MODEL.BACKBONE.WITH_IBN True contradicts MODEL.AIRNET.CONTEXT_AFTER ['layer2']",
        ),
        (
            ["MODEL.LOSSES.NAME", "('CrossEntropyLoss', 'MetricDistillationLoss')"],
            "AIRNet offers features and logits",
        ),
    ],
)
def test_contradictions_are_a_sentence_each(airnet_cfg, opts, words):
    with pytest.raises(ConfigError) as error:
        META_ARCH_REGISTRY.get("AIRNet")(airnet_cfg(*opts))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_images_of_their_own_size_are_not_checked(airnet_cfg):
    cfg = airnet_cfg("INPUT.SIZE_TEST", "[0, 0]")
    assert META_ARCH_REGISTRY.get("AIRNet")(cfg) is not None


# The host's layers that AIR-Net relies on


def test_the_hosts_ibn_is_half_instance_and_half_batch_norm():
    """IBN-a (Pan et al. 2018), in the first three stages and not in the last."""
    layer = IBN(8, "BN")
    torch.manual_seed(0)
    for parameter in layer.parameters():
        parameter.data.uniform_(0.5, 1.5)
    x = torch.randn(3, 8, 4, 2)
    alone = x[:, :4]
    variance, mean = torch.var_mean(alone, dim=(2, 3), keepdim=True, correction=0)
    instance = (alone - mean) / (variance + 1e-5).sqrt()
    expected = instance * layer.IN.weight.view(-1, 1, 1) + layer.IN.bias.view(-1, 1, 1)
    out = layer(x)
    assert torch.allclose(out[:, :4], expected, atol=1e-5)
    variance, mean = torch.var_mean(x[:, 4:], dim=(0, 2, 3), keepdim=True, correction=0)
    expected = (x[:, 4:] - mean) / (variance + 1e-5).sqrt()
    expected = expected * layer.BN.weight.view(-1, 1, 1) + layer.BN.bias.view(-1, 1, 1)
    assert torch.allclose(out[:, 4:], expected, atol=1e-5)
    model = on_meta("airnet_r50ibn_market1501")
    stages = {name.split(".")[0] for name, m in model.backbone.named_modules() if isinstance(m, IBN)}
    assert stages == {"layer1", "layer2", "layer3"}
    assert not any(isinstance(m, IBN) for m in model.branches.modules())


def test_the_hosts_context_block_is_the_global_context_block():
    """Cao et al. 2019, eq. 6: x + W_2 relu(LN(W_1 sum_p softmax(W_k x)_p x_p))."""
    torch.manual_seed(0)
    block = context_block(32)
    for parameter in block.parameters():
        parameter.data.normal_()
    x = torch.randn(2, 32, 4, 3)
    w_k, (w_1, norm, _, w_2) = block.conv_mask, block.channel_add_conv
    for image, out in zip(x, block(x), strict=True):
        positions = image.flatten(1).T
        weights = (positions @ w_k.weight.flatten() + w_k.bias).softmax(0)
        context = sum(weight * position for weight, position in zip(weights, positions, strict=True))
        hidden = w_1.weight[:, :, 0, 0] @ context + w_1.bias
        hidden = (hidden - hidden.mean()) / (hidden.var(correction=0) + 1e-5).sqrt()
        hidden = (hidden * norm.weight.flatten() + norm.bias.flatten()).relu()
        added = w_2.weight[:, :, 0, 0] @ hidden + w_2.bias
        assert torch.allclose(out, image + added[:, None, None], atol=1e-4)
