"""A config that cannot work is refused before anything is built, in one sentence."""

import pytest
import torch
from fastreid.layers import pooling
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from torch import nn

from fastreid_projects.config import checks as config_check
from fastreid_projects.config.checks import check_host_config, check_training_config, mgn_height
from fastreid_projects.config.names import unknown_name
from fastreid_projects.errors import ConfigError


def test_the_tests_own_config_is_fine(tiny_cfg):
    check_host_config(tiny_cfg())
    check_training_config(tiny_cfg())


@pytest.mark.parametrize(
    ("key", "value", "nearest"),
    [
        ("MODEL.META_ARCHITECTURE", "Baselin", "Baseline"),
        ("MODEL.BACKBONE.NAME", "build_resnet", "build_resnet_backbone"),
        ("MODEL.HEADS.NAME", "EmbeddingHeads", "EmbeddingHead"),
        ("MODEL.HEADS.POOL_LAYER", "GlobalAvg", "AvgPool"),
        ("MODEL.HEADS.CLS_LAYER", "Linar", "Linear"),
        ("MODEL.HEADS.NECK_FEAT", "befor", "before"),
        ("MODEL.HEADS.NORM", "SyncBN", "syncBN"),
        ("MODEL.BACKBONE.NORM", "frozenbn", "FrozenBN"),
        ("MODEL.BACKBONE.DEPTH", "r50x", "50x"),
        ("TEST.METRIC", "cosin", "cosine"),
        ("DATASETS.TESTS", ("Market1501", "Market"), "Market1501"),
    ],
)
def test_names_of_every_run(key, value, nearest, tiny_cfg, resnet18):
    with pytest.raises(ConfigError, match=rf"^{key}.* is not known, did you mean '.*{nearest}") as caught:
        check_host_config(tiny_cfg(*resnet18, key, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "nearest"),
    [
        ("DATALOADER.SAMPLER_TRAIN", "NaiveSampler", "NaiveIdentitySampler"),
        ("DATALOADER.SAMPLER_TRAIN", "SetWeightSampler", "SetReWeightSampler"),
        ("SOLVER.OPT", "adam", "Adam"),
        ("SOLVER.SCHED", "MultiStep", "MultiStepLR"),
        ("SOLVER.WARMUP_METHOD", "linar", "linear"),
        ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "norms", "norm"),
        ("DATASETS.NAMES", ("Market",), "Market1501"),
    ],
)
def test_names_of_a_training(key, value, nearest, tiny_cfg):
    with pytest.raises(ConfigError, match=rf"^{key}.* is not known, did you mean '.*{nearest}"):
        check_training_config(tiny_cfg(key, value))


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (("MODEL.DEVICE", "gpu"), r"MODEL\.DEVICE 'gpu' is not a supported device"),
        (("MODEL.HEADS.NORM", "FrozenBN"), r"MODEL\.HEADS\.NORM 'FrozenBN' works in the backbone only"),
        (
            ("MODEL.BACKBONE.NAME", "build_regnet_backbone"),
            "build_regnet_backbone reads files of a git checkout",
        ),
        (("MODEL.META_ARCHITECTURE", "MGN"), "MGN needs .* DEPTH 50x or 101x, not build_resnet_backbone 18x"),
        (
            ("MODEL.META_ARCHITECTURE", "MGN", "MODEL.BACKBONE.DEPTH", "50x", "INPUT.SIZE_TRAIN", [64, 32]),
            r"INPUT\.SIZE_TRAIN \[64, 32\] gives MGN a feature map of height 4",
        ),
        (("TEST.IMS_PER_BATCH", 0), r"TEST\.IMS_PER_BATCH is 0 but has to be at least 1"),
    ],
)
def test_contradictions_of_every_run(opts, message, tiny_cfg, resnet18):
    with pytest.raises(ConfigError, match=message):
        check_host_config(tiny_cfg(*resnet18, *opts))


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (("SOLVER.IMS_PER_BATCH", 6), r"6 over 1 processes is not a multiple of DATALOADER\.NUM_INSTANCE 4"),
        (("SOLVER.MAX_EPOCH", 0), r"SOLVER\.MAX_EPOCH is 0 but has to be at least 1"),
        (("TEST.EVAL_PERIOD", -1), r"TEST\.EVAL_PERIOD is -1 but has to be at least 0"),
        (("SOLVER.BASE_LR", 0.0), r"SOLVER\.BASE_LR is 0\.0 but has to be above 0"),
        (("DATASETS.NAMES", ()), r"DATASETS\.NAMES is empty"),
        (
            ("TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.DATASET", "Market"),
            r"TEST\.PRECISE_BN\.DATASET 'Market' is not known",
        ),
        (
            ("MODEL.META_ARCHITECTURE", "MoCo", "MODEL.QUEUE_SIZE", 20),
            r"MODEL\.QUEUE_SIZE 20 is not a multiple of SOLVER\.IMS_PER_BATCH 8",
        ),
    ],
)
def test_contradictions_of_a_training(opts, message, tiny_cfg):
    with pytest.raises(ConfigError, match=message):
        check_training_config(tiny_cfg(*opts))


def test_processes_that_do_not_share_the_batch(tiny_cfg, monkeypatch):
    monkeypatch.setattr(config_check.comm, "get_world_size", lambda: 3)
    with pytest.raises(ConfigError, match="8 is not divisible by the 3 processes"):
        check_training_config(tiny_cfg())
    with pytest.raises(ConfigError, match="syncBN' needs CUDA"):
        check_host_config(tiny_cfg("MODEL.BACKBONE.NORM", "syncBN"))


def test_the_host_refuses_less_clearly(unpatched):
    assert unpatched["frozen_bn_head"].startswith("AttributeError")
    assert unpatched["regnet"].startswith("FileNotFoundError")
    assert unpatched["moco_queue"] == "AssertionError: "


def test_the_height_of_mgns_map():
    assert [mgn_height(pixels) for pixels in (64, 96, 256, 384)] == [4, 6, 16, 24]


def test_the_height_of_mgns_map_is_that_of_the_host(tiny_cfg, resnet18):
    with torch.device("meta"):
        backbone = BACKBONE_REGISTRY.get("build_resnet_backbone")(tiny_cfg(*resnet18))
    front = nn.Sequential(
        backbone.conv1, backbone.bn1, backbone.maxpool, backbone.layer1, backbone.layer2, backbone.layer3
    )
    for pixels in (33, 50, 64, 65, 96):
        assert front(torch.zeros(1, 3, pixels, 32, device="meta")).shape[2] == mgn_height(pixels)


def test_depths_are_those_of_the_host(tiny_cfg):
    for name, depths in config_check.DEPTHS.items():
        cfg = tiny_cfg("MODEL.BACKBONE.NAME", name, "MODEL.BACKBONE.DEPTH", "no such depth")
        with pytest.raises((KeyError, NotImplementedError, ValueError)):
            BACKBONE_REGISTRY.get(name)(cfg)
        check_host_config(tiny_cfg("MODEL.BACKBONE.NAME", name, "MODEL.BACKBONE.DEPTH", depths[0]))


@pytest.mark.parametrize("name", sorted(set(config_check.DEPTHS) - {"build_vit_backbone"}))
def test_every_listed_depth_builds(name, tiny_cfg):
    for depth in config_check.DEPTHS[name]:
        with torch.device("meta"):
            BACKBONE_REGISTRY.get(name)(tiny_cfg("MODEL.BACKBONE.NAME", name, "MODEL.BACKBONE.DEPTH", depth))


def test_a_plug_ins_layer_is_known(tiny_cfg, monkeypatch):
    class OwnPool(nn.Module):
        pass

    monkeypatch.setattr(pooling, "OwnPool", OwnPool, raising=False)
    check_host_config(tiny_cfg("MODEL.HEADS.POOL_LAYER", "OwnPool"))


def test_a_registry_names_what_it_knows(unpatched):
    assert "build_osnet_backbone" not in unpatched["unknown_name"]
    with pytest.raises(
        ConfigError, match=r"did you mean 'build_resnet_backbone'\? Known are: .*build_osnet_backbone"
    ):
        BACKBONE_REGISTRY.get("build_resnet_backbon")
    with pytest.raises(KeyError):
        BACKBONE_REGISTRY.get("nothing alike")


def test_a_name_without_a_near_one():
    assert str(unknown_name("KEY", "zzz", ["a", "b"])) == "KEY 'zzz' is not known. Known are: a, b."
    assert str(unknown_name("KEY", "x", [])).endswith("Known are: none.")
