"""The dilated ResNet: shapes, dilations, the plain ResNet's weights, what is refused."""

import pytest
import torch
from fastreid.modeling.backbones import build_backbone
from fastreid.modeling.backbones.resnet import ResNet
from torch import nn

from fastreid_projects.config import load_config
from fastreid_projects.errors import ConfigError, WeightsError
from fastreid_projects.sal.backbone import BLOCKS, DilatedResNet

CHANNELS = {"18x": [256, 512, 256], "34x": [256, 512, 256], "50x": [1024, 2048, 1024]}


def sal_cfg(*opts, depth="18x"):
    keys = ["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.NAME", "build_dilated_resnet_backbone"]
    keys += ["MODEL.BACKBONE.DEPTH", depth, "MODEL.BACKBONE.FEAT_DIM", str(sum(CHANNELS[depth]))]
    keys += ["MODEL.HEADS.NAME", "MultiLevelHead"]
    return load_config("", [*keys, *opts])


def plain(depth="18x", last_stride=2):
    block, blocks = BLOCKS[depth]
    return ResNet(last_stride, "BN", False, False, False, block, blocks, None)


def convolutions(stage):
    return [m for m in stage.modules() if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize("depth", list(CHANNELS))
def test_levels_keep_an_eighth_of_the_image(depth):
    with torch.device("meta"):
        model = build_backbone(sal_cfg(depth=depth))
        maps = model(torch.empty(2, 3, 256, 128))
    assert [tuple(m.shape) for m in maps] == [(2, c, 32, 16) for c in CHANNELS[depth]]
    assert model.out_channels == CHANNELS[depth]


@pytest.mark.parametrize("depth", ["18x", "50x"])
def test_dilations_and_strides(depth):
    model = DilatedResNet(depth)
    rates = {"layer1": 1, "layer2": 1, "layer3": 2, "layer4": 4, "layer5": 2}
    for name, rate in rates.items():
        wide = [c for c in convolutions(getattr(model, name)) if c.kernel_size == (3, 3)]
        assert {c.dilation for c in wide} == {(rate, rate)}, name
        assert all(c.padding == c.dilation for c in wide)
    for name in ("layer3", "layer4", "layer5"):
        assert {c.stride for c in convolutions(getattr(model, name))} == {(1, 1)}
    assert len(model.layer5) == len(model.layer4), "stage6 is built like stage5"
    other = DilatedResNet(depth, dilation=(3, 5, 1))
    assert {c.dilation for c in convolutions(other.layer4) if c.kernel_size == (3, 3)} == {(5, 5)}
    assert {c.dilation for c in convolutions(other.layer5)} == {(1, 1)}


def test_names_and_shapes_are_the_plain_ones_and_stage6_is_half_as_wide():
    for depth, channels in CHANNELS.items():
        with torch.device("meta"):
            own, host = DilatedResNet(depth).state_dict(), plain(depth).state_dict()
        assert {name: value.shape for name, value in own.items() if "layer5" not in name} == {
            name: value.shape for name, value in host.items()
        }
        assert own["layer5.0.downsample.0.weight"].shape[:2] == (channels[2], channels[1])


@pytest.mark.parametrize("depth", ["18x", "50x"])
def test_with_the_first_dilation_kept_it_computes_what_the_plain_one_does(depth):
    """A dilated convolution sees what the strided one saw: away from the border, every fourth position of stage5."""
    torch.manual_seed(0)
    host, model = plain(depth).eval(), DilatedResNet(depth, keep_first=True, levels=(4, 5)).eval()
    for module in host.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
    model.load_state_dict(host.state_dict())
    image = torch.zeros(1, 3, 512, 512)
    image[..., 240:272, 240:272] = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        stage4, stage5 = model(image)
        x = host.layer2(host.layer1(host.maxpool(host.relu(host.bn1(host.conv1(image))))))
        y = host.layer3(x)
        z = host.layer4(y)
    torch.testing.assert_close(stage4[..., ::2, ::2], y, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(stage5[..., ::4, ::4], z, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_weights_of_the_plain_resnet_load(tmp_path, prefix):
    host = plain("18x")
    state = {f"{prefix}{name}": value for name, value in host.state_dict().items()}
    state["fc.weight"] = torch.zeros(1000, 512)
    torch.save(state, tmp_path / "r18.pth")
    opts = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "r18.pth")]
    model = build_backbone(sal_cfg(*opts))
    for name, value in host.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_weights_of_another_model_are_refused(tmp_path):
    with torch.device("meta"):
        wide = plain("50x").state_dict()
    torch.save({name: torch.zeros(value.shape) for name, value in wide.items()}, tmp_path / "r50.pth")
    opts = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "r50.pth")]
    with pytest.raises(WeightsError, match="PRETRAIN_PATH"):
        build_backbone(sal_cfg(*opts))


def test_known_weights_are_fetched_the_hosts_way(monkeypatch):
    from fastreid.modeling.backbones import resnet

    host, asked = plain("18x"), []

    def known(key):
        asked.append(key)
        return {**host.state_dict(), "fc.weight": torch.zeros(1000, 512)}

    monkeypatch.setattr(resnet, "init_pretrained_weights", known)
    model = build_backbone(sal_cfg("MODEL.BACKBONE.PRETRAIN", "True"))
    assert asked == ["18x"]
    assert torch.equal(model.conv1.weight, host.conv1.weight)


def test_one_level_is_a_plain_tensor_for_any_head():
    cfg = sal_cfg(
        "MODEL.SAL.LEVELS", "(5,)", "MODEL.BACKBONE.FEAT_DIM", "512", "MODEL.HEADS.NAME", "EmbeddingHead"
    )
    model = build_backbone(cfg)
    assert not hasattr(model, "layer5"), "stage6 is not built for nothing"
    assert model(torch.rand(1, 3, 64, 32)).shape == (1, 512, 8, 4)


def test_undilated_and_small_stem():
    opts = ["MODEL.SAL.DILATED", "False", "MODEL.SAL.SMALL_STEM", "True"]
    maps = build_backbone(sal_cfg(*opts))(torch.rand(1, 3, 32, 32))
    assert [tuple(m.shape[2:]) for m in maps] == [(8, 8), (4, 4), (4, 4)]
    dilated = build_backbone(sal_cfg("MODEL.SAL.SMALL_STEM", "True"))(torch.rand(1, 3, 32, 32))
    assert [tuple(m.shape[2:]) for m in dilated] == [(16, 16)] * 3


@pytest.mark.parametrize(
    ("opts", "words"),
    [
        (["MODEL.BACKBONE.DEPTH", "52x"], ["DEPTH '52x'", "18x, 34x, 50x"]),
        (["MODEL.BACKBONE.WITH_NL", "True"], ["WITH_NL"]),
        (["MODEL.BACKBONE.FEAT_DIM", "2048"], ["FEAT_DIM is 2048", "set it to 1024"]),
        (["MODEL.HEADS.NAME", "EmbeddingHead"], ["EmbeddingHead", "MultiLevelHead"]),
        (["MODEL.SAL.LEVELS", "(6, 5)"], ["MODEL.SAL.LEVELS"]),
        (["MODEL.SAL.LEVELS", "(4,)"], ["MODEL.SAL.LEVELS"]),
        (["MODEL.SAL.LEVELS", "()"], ["MODEL.SAL.LEVELS"]),
        (["MODEL.SAL.DILATION", "(2, 4)"], ["MODEL.SAL.DILATION"]),
        (["MODEL.SAL.DILATION", "(2, 0, 1)"], ["MODEL.SAL.DILATION"]),
    ],
)
def test_mistakes_name_their_key(opts, words):
    with pytest.raises(ConfigError) as error:
        build_backbone(sal_cfg(*opts))
    for word in words:
        assert word in str(error.value)
