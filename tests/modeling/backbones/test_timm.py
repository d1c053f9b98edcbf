"""Models of timm by their names: what a config may ask of them, and what becomes of their weights."""

import argparse
import logging

import pytest
import torch

from fastreid_projects.config import load_config
from fastreid_projects.config.reading import load_with_sources
from fastreid_projects.errors import ConfigError, MissingExtraError, WeightsError
from fastreid_projects.modeling.backbone_stages import split_stages
from fastreid_projects.modeling.backbones import timm_names
from fastreid_projects.modeling.backbones.timm_models import Options, build_model
from tests.timm_families import CLASS_TOKEN, FAMILIES, Family, opts_of, pictures
from tests.yaml_files import config_file

timm = pytest.importorskip("timm")

VIT, RESNET, SWIN = FAMILIES["ViT, patches"], FAMILIES["ResNet"], FAMILIES["Swin"]


# Names


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("resnet51", r"'resnet51' is not a model of timm .*: did you mean resnet51q or resnet50"),
        ("50x", r"'50x' is not a model of timm"),
        ("resnet18.nothing", r"timm has no weights 'nothing' of resnet18; it has a1_in1k, "),
    ],
)
def test_a_name_that_timm_does_not_know_is_refused_before_anything_is_built(name, sentence, timm_cfg):
    from fastreid_projects.config.checks import check_host_config

    with pytest.raises(ConfigError, match=sentence):
        check_host_config(timm_cfg(RESNET._replace(name=name)))


def test_without_timm_the_extra_is_named(monkeypatch):
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "timm"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"needs timm, .* pip install 'fastreid-projects\[timm\]'"):
        timm_names.check_name("resnet18")
    cfg = load_config(str(config_file("bagtricks_r18_demo")), opts_of(VIT))  # can still be read
    assert cfg.MODEL.PIXEL_MEAN == load_config().MODEL.PIXEL_MEAN


# Mean and standard deviation


def test_images_are_normalised_as_the_weights_expect(timm_cfg, build_timm):
    cfg = timm_cfg(SWIN)
    assert list(cfg.MODEL.PIXEL_MEAN) == pytest.approx([102, 127.5, 153])
    assert list(cfg.MODEL.PIXEL_STD) == pytest.approx([51, 63.75, 76.5])
    assert build_timm(SWIN).pixel_mean.flatten().tolist() == pytest.approx([102, 127.5, 153])


def test_a_config_that_sets_one_of_them_keeps_both(timm_cfg):
    plain = load_config()
    cfg = timm_cfg(SWIN, "MODEL.PIXEL_MEAN", "[100.0, 110.0, 120.0]")
    assert cfg.MODEL.PIXEL_MEAN == [100.0, 110.0, 120.0]
    assert cfg.MODEL.PIXEL_STD == plain.MODEL.PIXEL_STD
    same = timm_cfg(SWIN, "MODEL.PIXEL_STD", str(list(plain.MODEL.PIXEL_STD)))
    assert same.MODEL.PIXEL_MEAN == plain.MODEL.PIXEL_MEAN


def test_the_config_says_where_they_come_from_and_a_run_keeps_them(timm_cfg, tmp_path):
    cfg, sources = load_with_sources("", opts_of(VIT))
    assert sources["MODEL.PIXEL_MEAN"] == "timm's weights of test_vit"
    (tmp_path / "config.yaml").write_text(cfg.dump())
    assert load_config(str(tmp_path / "config.yaml")).MODEL.PIXEL_MEAN == cfg.MODEL.PIXEL_MEAN


def test_other_ones_than_the_weights_are_warned_of(build_timm, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    caplog.set_level(logging.INFO, logger="fastreid.projects.backbones")
    build_timm(VIT)
    assert (
        "test_vit of timm: images are normalised with MODEL.PIXEL_MEAN [127.50, 127.50, 127.50]"
        in caplog.text
    )
    assert not [r for r in caplog.records if r.levelname == "WARNING" and "normalised" in r.getMessage()]
    build_timm(VIT, "MODEL.PIXEL_MEAN", "[1.0, 2.0, 3.0]")
    assert "but its weights were trained with [127.50, 127.50, 127.50]" in caplog.text


# What a model can be


@pytest.mark.parametrize(
    ("family", "opts", "sentence"),
    [
        (RESNET, ["MODEL.BACKBONE.FEAT_DIM", "2048"], r"test_resnet of timm has 96 channels: set .* 96"),
        (
            RESNET,
            ["MODEL.HEADS.POOL_LAYER", "Identity"],
            r"POOL_LAYER Identity would use only the first cell",
        ),
        (RESNET, CLASS_TOKEN, r"test_resnet of timm is not a vision transformer and has no class token"),
        (
            Family("test_vit2", 64, (8, 4), ""),
            CLASS_TOKEN,
            r"test_vit2 of timm has no class token; use Global",
        ),
        (RESNET, ["MODEL.BACKBONE.STRIDE_SIZE", "(8, 8)"], r"STRIDE_SIZE \(8, 8\) would have no effect"),
        (
            SWIN,
            ["MODEL.BACKBONE.STRIDE_SIZE", "(8, 8)"],
            r"STRIDE_SIZE \(8, 8\) is for the patches of vision",
        ),
        (SWIN, ["MODEL.BACKBONE.LAST_STRIDE", "1"], r"set MODEL\.BACKBONE\.LAST_STRIDE 2"),
        (
            VIT,
            ["MODEL.BACKBONE.LAST_STRIDE", "2"],
            r"LAST_STRIDE 2: test_vit of timm is a vision transformer",
        ),
        (
            VIT,
            ["INPUT.SIZE_TEST", "[64, 32]"],
            r"SIZE_TRAIN \[128, 64\] and INPUT\.SIZE_TEST \[64, 32\] have",
        ),
        (VIT._replace(size="[120, 60]"), [], r"set INPUT\.SIZE_TRAIN and INPUT\.SIZE_TEST to \[128, 64\]"),
        (RESNET, ["MODEL.BACKBONE.WITH_IBN", "True"], r"WITH_IBN True would have no effect"),
        (RESNET, ["MODEL.BACKBONE.DROP_PATH_RATIO", "0.2"], r"DROP_PATH_RATIO 0\.2 would have no effect"),
    ],
)
def test_what_a_model_cannot_be_is_one_sentence(family, opts, sentence, build_timm):
    with pytest.raises(ConfigError, match=sentence):
        build_timm(family, *opts)


@pytest.mark.parametrize("kind", ["ResNet", "ConvNeXt", "EfficientNet", "RegNet and kin"])
def test_the_last_stride_halves_the_map_and_changes_no_weight(kind, build_timm):
    family = FAMILIES[kind]
    images = pictures(family)
    fine = build_timm(family).backbone.eval()
    coarse = build_timm(family, "MODEL.BACKBONE.LAST_STRIDE", "2").backbone.eval()
    coarse.load_state_dict(fine.state_dict())
    assert fine(images).shape[2:] == (8, 4)
    assert coarse(images).shape[2:] == (4, 2)


@pytest.mark.parametrize("name", ["resnet18d", "mobilenetv3_small_100", "regnety_002"])
def test_kin_of_a_family_keep_their_last_resolution_and_can_be_cut(name):
    backbone = build_model(name, Options((128, 64)))
    assert backbone.eval()(torch.zeros(1, 3, 128, 64)).shape[2:] == (8, 4)
    assert len(split_stages(backbone)) == 5


def test_overlapping_patches_are_more(build_timm):
    model = build_timm(VIT, "MODEL.BACKBONE.STRIDE_SIZE", "(12, 12)").backbone.eval()
    assert model(pictures(VIT)).shape == (2, 64, 10, 5)
    assert model.pos_embed.shape == (1, 51, 64)


def test_dropout_of_paths_is_read_by_transformers(build_timm):
    rates = [
        block.drop_path1 for block in build_timm(VIT, "MODEL.BACKBONE.DROP_PATH_RATIO", "0.3").backbone.blocks
    ]
    assert rates[-1].drop_prob == pytest.approx(0.3)


def test_a_map_is_no_class_token(tiny_cfg):
    from fastreid_projects.modeling.pooling import ClassTokenPooling

    with pytest.raises(ConfigError, match="this one returns a map of 8 x 4; use GlobalAvgPool"):
        ClassTokenPooling()(torch.zeros(1, 3, 8, 4))


# Weights


def save_timm(path, name="test_vit", **arguments):
    torch.manual_seed(5)
    model = timm.create_model(name, **arguments)
    torch.save(model.state_dict(), path)
    return model


def test_a_local_file_is_resampled_to_the_size_of_the_images(tmp_path, build_timm):
    path = str(tmp_path / "vit.pth")
    plain = save_timm(path, img_size=(128, 64), dynamic_img_size=False)
    own = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", path]
    model = build_timm(VIT, *own)
    images = torch.rand(2, 3, 128, 64)
    tokens = plain.eval().forward_features(images)
    maps = model.backbone.eval()(images)
    torch.testing.assert_close(maps.flatten(2).transpose(1, 2), tokens[:, 1:])
    larger = build_timm(VIT._replace(size="[256, 128]"), *own)
    assert larger.backbone.pos_embed.shape == (1, 129, 64)
    torch.testing.assert_close(larger.backbone.blocks[2].mlp.fc1.weight, plain.blocks[2].mlp.fc1.weight)
    torch.testing.assert_close(larger.backbone.pos_embed[:, 0], plain.pos_embed[:, 0])
    first = (
        larger.backbone.pos_embed[0, 1:]
        .view(16, 8, 64)
        .unflatten(0, (8, 2))
        .unflatten(2, (4, 2))
        .mean((1, 3))
    )
    distance = (first.flatten(0, 1) - plain.pos_embed[0, 1:]).norm() / plain.pos_embed[0, 1:].norm()
    assert distance < 0.5  # interpolated, not begun anew: that would be above 1


def test_positions_of_a_square_are_resampled_and_others_refused(tmp_path, build_timm):
    own = ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH"]
    save_timm(tmp_path / "square.pth")  # of 224 x 224
    assert build_timm(VIT, *own, str(tmp_path / "square.pth")).backbone.pos_embed.shape == (1, 33, 64)
    save_timm(tmp_path / "odd.pth", img_size=(16, 112))
    with pytest.raises(
        WeightsError, match=r"its 7 positions form neither a square nor a grid with the proportions"
    ):
        build_timm(VIT, *own, str(tmp_path / "odd.pth"))


def test_a_file_of_another_model_is_refused(tmp_path, build_timm):
    path = str(tmp_path / "resnet.pth")
    save_timm(path, "test_resnet")
    with pytest.raises(WeightsError, match="belongs to another model"):
        build_timm(VIT, "MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", path)


def test_the_hub_is_asked_for_the_weights_and_a_missing_network_is_one_sentence(build_timm, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError) as refused:
        build_timm(RESNET, "MODEL.BACKBONE.PRETRAIN", "True")
    text = str(refused.value)
    assert text.startswith("The pretrained weights of test_resnet could not be loaded from timm's hub (")
    assert text.endswith("or start from random weights with MODEL.BACKBONE.PRETRAIN False.")
    assert "\n" not in text
    with pytest.raises(
        WeightsError, match=r"timm has no pretrained weights for tiny_swin: give a local file"
    ):
        build_timm(SWIN, "MODEL.BACKBONE.PRETRAIN", "True")


# Runs


@pytest.mark.slow
@pytest.mark.parametrize("family", [VIT, SWIN], ids=lambda family: family.name)
def test_it_is_trained_evaluated_and_extracted_like_any_other(family, timm_cfg, tiny_market, tmp_path):
    from fastreid_projects.engine.run import run
    from fastreid_projects.extractor import Extractor

    tiny_market(size=(64, 128))
    cfg = timm_cfg(
        family,
        *(
            "DATASETS.NAMES",
            "('Market1501',)",
            "DATASETS.TESTS",
            "('Market1501',)",
            "OUTPUT_DIR",
            str(tmp_path / "run"),
        ),
        *(
            "SOLVER.MAX_EPOCH",
            "2",
            "SOLVER.STEPS",
            "[]",
            "SOLVER.IMS_PER_BATCH",
            "8",
            "TEST.EVAL_PERIOD",
            "2",
        ),
        *("DATALOADER.NUM_WORKERS", "0", "SOLVER.WARMUP_EPOCHS", "0", "SOLVER.CHECKPOINT_PERIOD", "2"),
    )
    run(cfg, argparse.Namespace(config_file="", eval_only=False, resume=False, num_gpus=1, opts=[]))
    extractor = Extractor.from_config(str(tmp_path / "run"))
    features = extractor(sorted((tmp_path / "data").rglob("*.jpg"))[:3])
    assert features.shape == (3, family.channels)
