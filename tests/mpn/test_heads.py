"""The fused head equals the plain one; its sizes; what it refuses."""

import itertools

import pytest
import torch

from fastreid_projects.config import load_config
from fastreid_projects.errors import ConfigError
from fastreid_projects.mpn.heads import MPNHead
from fastreid_projects.mpn.reference import PlainMPNHead

SHARING = [("hard", "hard"), ("hard", "none"), ("none", "hard"), ("soft", "soft")]


def gradients(head, plain):
    """Pairs of a part's gradient in the fused and in the plain head."""
    for task, layers in (("main", plain.main), ("auxiliary", plain.auxiliary)):
        own = head.auxiliary if task == "auxiliary" else {}
        for name in ("conv1", "conv2"):
            if task == "auxiliary" and name not in own:
                continue  # shared: its parameters are the main ones
            fused = own[name] if name in own else getattr(head, name)
            for k, part in enumerate(layers):
                conv, norm = getattr(part, name)
                rows = slice(k * fused.out_channels, (k + 1) * fused.out_channels)
                yield fused.weight.grad[rows], conv.weight.grad
                yield fused.norm.weight.grad[rows], norm.weight.grad
                yield fused.norm.bias.grad[rows], norm.bias.grad


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "uniform"])
@pytest.mark.parametrize("conv1, conv2", SHARING)
@pytest.mark.parametrize("attention", [False, True])
def test_fused_equals_plain(make_head, maps, regions, masked, conv1, conv2, attention):
    """In value, gradient of input and weights, and BN statistics."""
    head = make_head(share_conv1=conv1, share_conv2=conv2, attention=attention).train()
    plain = PlainMPNHead(head).train()
    inputs = [maps.clone().requires_grad_() for _ in range(2)]
    prior = regions if masked else None
    fused_out, plain_out = head(inputs[0], prior), plain(inputs[1], prior)
    weights = torch.randn_like(fused_out.main)
    for got, wanted in zip(fused_out, plain_out, strict=True):
        torch.testing.assert_close(got, wanted)
    for out in (fused_out, plain_out):
        (out.main * weights + out.auxiliary * weights.flip(0)).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    for got, wanted in gradients(head, plain):
        assert wanted.abs().sum() > 0
        torch.testing.assert_close(got, wanted)
    for k, part in enumerate(plain.main):
        rows = slice(16 * k, 16 * k + 16)
        for name in ("conv1", "conv2"):
            norm, plain_norm = getattr(head, name).norm, getattr(part, name)[1]
            torch.testing.assert_close(norm.running_mean[rows], plain_norm.running_mean)
            torch.testing.assert_close(norm.running_var[rows], plain_norm.running_var)
            assert norm.num_batches_tracked == plain_norm.num_batches_tracked


def test_bn_statistics_of_the_auxiliary_task_are_its_own(make_head, maps):
    """Cutting after the norm instead of before would give the main task's statistics."""
    head = make_head(attention=False).train()
    x = head.conv1.on_whole(maps)
    wrong = head.conv1.norm(x).relu()
    stripes = torch.stack(
        [wrong[:, 16 * k : 16 * k + 16, 4 * k : 4 * k + 4].amax((2, 3)) for k in range(3)], 1
    )
    from fastreid_projects.mpn.part_layers import vector_layer

    assert not torch.allclose(head(maps).auxiliary, vector_layer(head.conv2, stripes).relu(), atol=1e-3)


@pytest.mark.parametrize("attention", [False, True])
def test_evaluation_equals_plain(make_head, maps, attention):
    """Norms with negative scales, too: the maximum becomes a minimum."""
    head = make_head(attention=attention).eval()
    assert (head.conv1.norm.weight < 0).any()
    h = head(maps)
    assert h.shape == (4, 3 * 16)
    torch.testing.assert_close(h, PlainMPNHead(head).eval()(maps))


def test_parts_that_do_not_divide_the_map(make_head, maps, regions):
    head = make_head(parts=5).train()
    plain = PlainMPNHead(head).train()
    for prior in (None, regions):
        for got, wanted in zip(head(maps, prior), plain(maps, prior), strict=True):
            torch.testing.assert_close(got, wanted)


def test_baseline_sees_stripes_alone(make_head, maps):
    """Table 1, Baseline: part k's feature depends on stripe k and on nothing else, in training and test."""
    head = make_head(tasks="auxiliary").train()
    assert head(maps).main is None
    head.eval()
    before = head(maps).view(4, 3, 16)
    changed = maps.clone()
    changed[:, :, 4:8] += 1
    after = head(changed).view(4, 3, 16)
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.equal(before[:, 1], after[:, 1])


def test_main_only_has_nothing_auxiliary(make_head, maps):
    head = make_head(tasks="main").train()
    assert head(maps).auxiliary is None
    assert not list(head.auxiliary.parameters())


def test_test_model_needs_no_auxiliary_part(make_head, maps):
    """A checkpoint of both tasks works for a model with only the main tasks, with the same results."""
    both, main = make_head(tasks="both", share_conv1="none").eval(), make_head(tasks="main").eval()
    left = main.load_state_dict(both.state_dict(), strict=False)
    assert not left.missing_keys
    assert all(key.startswith("auxiliary.") for key in left.unexpected_keys)
    assert torch.equal(both(maps), main(maps))


def count(parts, **options):
    with torch.device("meta"):
        head = MPNHead(feat_dim=2048, num_classes=751, attention=False, parts=parts, **options)
    return sum(p.numel() for name, p in head.named_parameters() if "classifier" not in name)


def test_parameters_of_table_9():
    """31.4 M without channel attention and classifiers, in training as in test; ResNet-50 has 23.508 M."""
    from fastreid.modeling.backbones import build_backbone

    cfg = load_config(
        opts=["MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.BACKBONE.LAST_STRIDE", "1"]
    )
    cfg.MODEL.BACKBONE.PRETRAIN = False
    with torch.device("meta"):
        backbone = sum(p.numel() for p in build_backbone(cfg).parameters())
    assert backbone == 23_508_032
    for tasks in ("both", "main", "auxiliary"):
        assert round((backbone + count(6, tasks=tasks)) / 1e6, 1) == 31.4
    assert count(6, tasks="both") == 6 * (2048 * 512 + 512 * 512 + 2 * 512 + 4 * 512)


def test_a_sharing_option_costs_its_layer():
    """Not sharing conv1 adds K of it, and so for conv2."""
    hard = count(6)
    assert count(6, share_conv1="none") - hard == 6 * (2048 * 512 + 512 + 1024)
    assert count(6, share_conv2="soft") - hard == 6 * (512 * 512 + 512 + 1024)


@pytest.mark.parametrize("cls_layer", ["Linear", "CosSoftmax", "ArcSoftmax", "CircleSoftmax"])
def test_classification_layers_of_the_host(make_head, maps, cls_layer):
    head = make_head(cls_layer=cls_layer, scale=16, margin=0.1).train()
    targets = torch.tensor([0, 1, 1, 4])
    trained, plain = head.classifier(head(maps).main, targets)
    assert trained.shape == plain.shape == (4, 3, 5)
    assert torch.equal(trained, plain) == (cls_layer == "Linear")
    trained.logsumexp(2).sum().backward()
    assert (head.classifier.bias.grad is not None) == (cls_layer == "Linear")


@pytest.mark.parametrize(
    "key, value",
    [("TASKS", "all"), ("SHARE_CONV1", "yes"), ("SHARE_CONV2", "half"), ("PARTS", "0"), ("REDUCTION", "0")],
)
def test_mistakes_are_one_sentence(key, value):
    cfg = load_config(opts=[f"MODEL.MPN.{key}", value])
    with pytest.raises(ConfigError, match=f"MODEL.MPN.{key}"):
        MPNHead.from_config(cfg)


def test_half_precision_autocast(make_head, maps, regions):
    """Under autocast the features stay near those in full precision."""
    head = make_head().float().train()
    full = head(maps.float(), regions)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = head(maps.float(), regions)
    for a, b in itertools.zip_longest(full, half):
        assert (a - b.float()).abs().mean() < 0.05
