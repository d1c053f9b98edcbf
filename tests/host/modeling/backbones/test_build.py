"""Pretrained backbones: no gdown, one sentence where the weights are missing, unusable or another model's."""

import urllib.error

import pytest
import torch

from fastreid_projects.errors import WeightsError
from fastreid_projects.host.modeling.backbones.build import patch_pretrain

pytest.importorskip("fastreid")
patch_pretrain()

from fastreid.config import get_cfg  # noqa: E402
from fastreid.modeling import build_backbone  # noqa: E402
from fastreid.modeling.meta_arch import build_model  # noqa: E402


def make_cfg(name="build_resnet_backbone", depth="18x", path="", **keys):
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH = name, depth
    cfg.MODEL.BACKBONE.PRETRAIN, cfg.MODEL.BACKBONE.PRETRAIN_PATH = True, str(path)
    for key, value in keys.items():
        setattr(cfg.MODEL.BACKBONE, key, value)
    return cfg


def random_backbone(**keywords):
    cfg = make_cfg(**keywords)
    cfg.MODEL.BACKBONE.PRETRAIN = False
    return build_backbone(cfg)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path


@pytest.fixture
def offline(home, monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    return home


def is_like(backbone, state):
    own = backbone.state_dict()
    return all(torch.equal(own[name], state[name]) for name in own)


def test_a_cached_file_is_used_without_gdown(offline):
    state = random_backbone().state_dict()
    torch.save({**state, "fc.weight": torch.zeros(2)}, offline / "checkpoints" / "resnet18-5c106cde.pth")
    assert is_like(build_backbone(make_cfg()), state)
    state = random_backbone(name="build_osnet_backbone", depth="x0_25").state_dict()
    torch.save(state, offline / "checkpoints" / "osnet_x0_25_imagenet.pth")
    assert is_like(build_backbone(make_cfg(name="build_osnet_backbone", depth="x0_25")), state)


def test_a_direct_address_is_downloaded(home, monkeypatch):
    state = random_backbone().state_dict()
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda url, path, progress: torch.save(state, path))
    assert is_like(build_backbone(make_cfg()), state)


@pytest.mark.parametrize(
    "name, depth, words",
    [
        ("build_resnet_backbone", "18x", "could not be downloaded from https://download.pytorch.org"),
        ("build_osnet_backbone", "x0_25", "Google Drive"),
        ("build_mobilenetv2_backbone", "0.5x", "No pretrained weights are known"),
        ("build_shufflenetv2_backbone", "0.5x", "No pretrained weights are known"),
        ("build_mobilenetv3_backbone", "Small", "could not be loaded"),
    ],
)
def test_missing_weights_are_one_sentence(offline, monkeypatch, name, depth, words):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("fastreid.modeling.backbones.mobilenetv3.load_state_dict_from_url", refuse)
    with pytest.raises(WeightsError, match=rf"{words}.*PRETRAIN_PATH.*MODEL\.BACKBONE\.PRETRAIN False"):
        build_backbone(make_cfg(name=name, depth=depth))


def test_unknown_variants_are_one_sentence(offline):
    with pytest.raises(WeightsError, match="No pretrained weights are known for the backbone 'se_18x'"):
        build_backbone(make_cfg(WITH_SE=True))


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": prefixed(state, "module.")},
        lambda state: {"model": prefixed(state, "module.encoder.")},
        lambda state: {"model": {**prefixed(state, "backbone."), "heads.weight": torch.zeros(3)}},
    ],
)
@pytest.mark.parametrize(
    "name, depth",
    [
        ("build_resnet_backbone", "18x"),
        ("build_mobilenetv2_backbone", "0.5x"),
        ("build_shufflenetv2_backbone", "0.5x"),
    ],
)
def test_a_given_file_is_loaded_however_it_is_wrapped(tmp_path, wrap, name, depth):
    state = random_backbone(name=name, depth=depth).state_dict()
    path = tmp_path / "weights.pth"
    torch.save(wrap({**state, "fc.weight": torch.zeros(5, 2)}), path)
    assert is_like(build_backbone(make_cfg(name=name, depth=depth, path=path)), state)


def test_non_local_blocks_do_not_count(tmp_path):
    path = tmp_path / "weights.pth"
    state = random_backbone(depth="50x").state_dict()
    torch.save(state, path)
    non_local = build_backbone(make_cfg(depth="50x", path=path, WITH_NL=True)).state_dict()
    assert any(name.startswith("NL_") for name in non_local)
    assert all(torch.equal(non_local[name], value) for name, value in state.items())


def test_a_transformer_takes_weights_of_another_input_size(tmp_path):
    path = tmp_path / "weights.pth"
    keys = {"name": "build_vit_backbone", "depth": "small"}
    cfg = make_cfg(
        **keys, path=path, STRIDE_SIZE=(16, 16), DROP_RATIO=0.0, DROP_PATH_RATIO=0.0, ATT_DROP_RATE=0.0
    )
    plain = cfg.clone()
    plain.MODEL.BACKBONE.PRETRAIN = False
    plain.INPUT.SIZE_TRAIN = [224, 224]
    state = build_backbone(plain).state_dict()
    torch.save(state, path)
    own = build_backbone(cfg).state_dict()
    assert own["pos_embed"].shape != state["pos_embed"].shape
    assert torch.equal(own["blocks.0.attn.qkv.weight"], state["blocks.0.attn.qkv.weight"])


@pytest.mark.parametrize("other", [{"depth": "50x"}, {"name": "build_osnet_backbone", "depth": "x0_25"}])
def test_weights_of_another_backbone_are_refused(tmp_path, other):
    path = tmp_path / "weights.pth"
    torch.save(random_backbone(**other).state_dict(), path)
    with pytest.raises(WeightsError, match=r"weights\.pth' belongs to another model.*PRETRAIN_PATH"):
        build_backbone(make_cfg(path=path))


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"PRETRAIN_PATH: .*nowhere\.pth' does not exist"):
        build_backbone(make_cfg(path=tmp_path / "nowhere.pth"))
    path = tmp_path / "broken.pth"
    path.write_bytes(b"PK\x03\x04 and nothing else")
    with pytest.raises(WeightsError, match=r"PRETRAIN_PATH: .*broken\.pth.*truncated"):
        build_backbone(make_cfg(path=path))


@pytest.mark.parametrize("arch, depth", [("Baseline", "18x"), ("MGN", "50x")])
def test_whole_models_are_checked_too(tmp_path, arch, depth):
    path = tmp_path / "weights.pth"
    torch.save(random_backbone(name="build_osnet_backbone", depth="x0_25").state_dict(), path)
    cfg = make_cfg(depth=depth, path=path)
    cfg.MODEL.META_ARCHITECTURE = arch
    with pytest.raises(WeightsError, match="belongs to another model"):
        build_model(cfg)
