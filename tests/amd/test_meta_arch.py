"""The interpreter on its frozen target: what moves, what does not, and what it returns."""

import copy
import functools
import logging

import pytest
import torch
from fastreid.layers.pooling import GlobalAvgPool
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils.events import EventStorage

from fastreid_projects.amd import meta_arch
from fastreid_projects.amd.build import build_target, save_target_config
from fastreid_projects.amd.checks import warn_of_another_size
from fastreid_projects.amd.decomposition import pairwise_distances
from fastreid_projects.amd.reference import attribute_features_plain
from fastreid_projects.amd.saved_weights import check_saved
from fastreid_projects.config import load_config
from fastreid_projects.data.attributes import MARKET1501
from fastreid_projects.engine.stages import build_stages, check_stages
from fastreid_projects.errors import ConfigError, WeightsError
from fastreid_projects.modeling.backbone_stages import run_stages, split_stages
from fastreid_projects.visualization.contributions.pooling import pool_plainly, pooling_of
from tests.amd.conftest import INTERPRETER, ROOT, save_target

SIZE = (64, 32)


def batch(n=6):
    generator = torch.Generator().manual_seed(3)
    return {
        "images": torch.rand(n, 3, *SIZE, generator=generator) * 255,
        "targets": torch.arange(n) // 2,
        "attributes": torch.randint(0, 2, (n, 26), generator=generator, dtype=torch.int8),
    }


def step(model, data):
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    with EventStorage():
        losses = model(data)
    sum(losses.values()).backward()
    optimizer.step()
    return losses


@pytest.mark.parametrize("form", ["shape", "shared"])
def test_other_forms_of_attention_learn(form, build_amd):
    model = build_amd("MODEL.AMD.ATTENTION", form)
    before = copy.deepcopy(model.head.state_dict())
    assert all(loss.isfinite() for loss in step(model, batch()).values())
    assert not torch.equal(model.head.decompose.weight, before["decompose.weight"])


def test_the_prior_by_place_is_that_of_even_maps(build_amd):
    """The distillation stays as it is; of maps that are even already nothing changes at all."""
    own, place = (step(build_amd("MODEL.AMD.PRIOR_BY_PLACE", x), batch()) for x in ("False", "True"))
    assert torch.equal(own["loss_metric_distillation"], place["loss_metric_distillation"])
    assert not torch.isclose(own["loss_attribute_prior"], place["loss_attribute_prior"], rtol=1e-4)
    shape = ("MODEL.AMD.ATTENTION", "shape", "MODEL.AMD.PRIOR_BY_PLACE")
    own, place = (step(build_amd(*shape, x), batch()) for x in ("False", "True"))
    torch.testing.assert_close(own["loss_attribute_prior"], place["loss_attribute_prior"])


def test_one_step_moves_the_interpreter_and_not_one_bit_of_the_target(build_amd):
    model = build_amd()
    before = copy.deepcopy(model.state_dict())
    losses = step(model, batch())
    assert set(losses) == {"loss_metric_distillation", "loss_attribute_prior"}
    assert all(torch.isfinite(loss) for loss in losses.values())
    for name, value in model.state_dict().items():
        if name.startswith("target."):
            assert torch.equal(value, before[name]), name
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all(not name.startswith("target.") for name in trained)
    assert all(not torch.equal(model.state_dict()[name], before[name]) for name in trained)


def test_the_target_stays_in_eval_mode_whatever_is_asked(build_amd):
    model = build_amd()
    model.train()
    model.target.train(True)
    assert not any(module.training for module in model.target.modules())
    assert all(module.training for module in model.free_stages.modules())


def test_the_first_feature_is_the_targets_own(build_amd, target_files):
    model = build_amd().eval()
    cfg = load_config(target_files[0])
    plain = META_ARCH_REGISTRY.get("Baseline")(cfg)
    plain.load_state_dict(torch.load(target_files[1], weights_only=True)["model"])
    data = batch()
    with torch.no_grad():
        features = model(data)
        assert features.shape == (6, 27, 512)
        assert torch.equal(features[:, 0], plain.eval()(data))


def test_features_equal_the_plain_equation(build_amd):
    model = build_amd().eval()
    with torch.no_grad():
        output, attention = model.attend(model.preprocess_image(batch()))
        branch = output.branches[0]
        pooled = attribute_features_plain(branch.features, attention, pooling_of(branch.pool))
        plain = torch.stack([branch.neck(pooled[:, k, :, None, None])[..., 0, 0] for k in range(26)], 1)
        torch.testing.assert_close(model.attribute_features(output, attention), plain, rtol=1e-4, atol=1e-5)


def test_it_begins_near_the_targets_distances(build_amd):
    """PePU starts at about 1/M, so that the parts add up to the distance before anything is learnt."""
    model = build_amd("MODEL.AMD.INIT_BIAS", "0.0").eval()
    with torch.no_grad():
        features = model(batch())
    whole, parts = pairwise_distances(features[:, 0]), pairwise_distances(features[:, 1:]).sum(dim=2)
    off = ~torch.eye(len(whole), dtype=torch.bool)
    assert ((whole - parts).abs() / whole)[off].mean() < 0.25


R50 = ("MODEL.BACKBONE.DEPTH", "50x", "MODEL.BACKBONE.FEAT_DIM", "2048", "MODEL.BACKBONE.WITH_NL", "False")


def named(name, depth, channels):
    values = (f"build_{name}_backbone", depth, channels)
    keys = ("MODEL.BACKBONE.NAME", "MODEL.BACKBONE.DEPTH", "MODEL.BACKBONE.FEAT_DIM")
    return [item for pair in zip(keys, values, strict=True) for item in pair]


# Targets of every kind: architecture, backbone, pooling, neck.
TARGETS = {
    "SBS R18, GeM": (),
    "BoT R18, average": ("MODEL.HEADS.POOL_LAYER", "GlobalAvgPool", "MODEL.BACKBONE.WITH_NL", "False"),
    "AGW R50, non-local": (*R50, "MODEL.BACKBONE.WITH_NL", "True"),
    "SBS R34": ("MODEL.BACKBONE.DEPTH", "34x"),
    "BoT R101": (*R50, "MODEL.BACKBONE.DEPTH", "101x"),
    "IBN R50": (*R50, "MODEL.BACKBONE.WITH_IBN", "True"),
    "SE R50": (*R50, "MODEL.BACKBONE.WITH_SE", "True"),
    "IBN R18": ("MODEL.BACKBONE.WITH_IBN", "True"),
    "SE R18": ("MODEL.BACKBONE.WITH_SE", "True"),
    "OSNet": (*named("osnet", "x0_25", "128"), "MODEL.BACKBONE.WITH_NL", "False"),
    "MobileNetV2": (*named("mobilenetv2", "0.1x", "1280"), "MODEL.BACKBONE.WITH_NL", "False"),
    "MobileNetV3": (*named("mobilenetv3", "Small", "1024"), "MODEL.BACKBONE.WITH_NL", "False"),
    "ShuffleNetV2": (*named("shufflenetv2", "1.0x", "1024"), "MODEL.BACKBONE.WITH_NL", "False"),
    "MGN": (*R50, "MODEL.META_ARCHITECTURE", "MGN", "MODEL.HEADS.EMBEDDING_DIM", "16"),
    "maximum": ("MODEL.HEADS.POOL_LAYER", "GlobalMaxPool"),
    "fixed GeM": ("MODEL.HEADS.POOL_LAYER", "GeneralizedMeanPooling"),
    "average + maximum": ("MODEL.HEADS.POOL_LAYER", "AdaptiveAvgMaxPool"),
    "clipped average": ("MODEL.HEADS.POOL_LAYER", "ClipGlobalAvgPool"),
    "no neck": ("MODEL.HEADS.WITH_BNNECK", "False"),
    "reducing neck": ("MODEL.HEADS.EMBEDDING_DIM", "64"),
}


@pytest.mark.parametrize("opts", TARGETS.values(), ids=TARGETS)
def test_every_target_takes_a_step_at_every_sharing_depth(tmp_path, monkeypatch, opts):
    """Each is explained with its own feature at index 0 and interpreters of N = 1..5 learn from it."""
    check_target(monkeypatch, *save_target(tmp_path, *opts), large="MGN" in opts)


@pytest.mark.parametrize(
    "config",
    [
        "AIRNet/configs/demo/airnet_r18_demo.yml",
        "FIDI/configs/demo/triplet_bdb_r18_demo.yml",
        "MPN/configs/demo/mpn_r18_demo.yml",
        "SAL/configs/demo/sal_r18_demo.yml",
    ],
)
def test_this_projects_own_architectures_are_targets(tmp_path, monkeypatch, config):
    paths = save_target(tmp_path, config=str(ROOT / "projects" / config))
    check_target(monkeypatch, *paths, large=True)


def test_a_target_that_knows_one_size_of_image(tmp_path):
    """MPN with RGA-S is opened at the size of the config's images."""
    size = ["INPUT.SIZE_TRAIN", "[96, 48]", "INPUT.SIZE_TEST", "[96, 48]"]
    config, weights = save_target(
        tmp_path,
        "MODEL.MPN.RGA",
        "True",
        *size,
        config=str(ROOT / "projects/MPN/configs/demo/mpn_r18_demo.yml"),
    )
    own = ["MODEL.AMD.TARGET.CONFIG", config, "MODEL.AMD.TARGET.WEIGHTS", weights, "MODEL.DEVICE", "cpu"]
    model = META_ARCH_REGISTRY.get("AMD")(load_config(INTERPRETER, [*own, *size])).eval()
    with torch.no_grad():
        assert model(torch.rand(2, 3, 96, 48)).shape[:2] == (2, 27)
    with pytest.raises(ConfigError, match=r"RGA-S was built for .*INPUT\.SIZE_TEST"):
        META_ARCH_REGISTRY.get("AMD")(load_config(INTERPRETER, own))


def check_target(monkeypatch, config, weights, large):
    plain = META_ARCH_REGISTRY.get(load_config(config).MODEL.META_ARCHITECTURE)(load_config(config)).eval()
    plain.load_state_dict(torch.load(weights, weights_only=True)["model"])
    own = ["MODEL.AMD.TARGET.CONFIG", config, "MODEL.AMD.TARGET.WEIGHTS", weights, "MODEL.DEVICE", "cpu"]
    data = batch(4)
    if large:  # thirds of the map
        data["images"] = torch.nn.functional.interpolate(data["images"], (96, 32))
    with torch.no_grad():
        expected = plain(data)
    built = functools.cache(lambda: build_target(load_config(INTERPRETER, own)))
    monkeypatch.setattr(meta_arch, "build_target", lambda cfg: built())
    for shared in range(1, 6):
        model = META_ARCH_REGISTRY.get("AMD")(
            load_config(INTERPRETER, [*own, "MODEL.AMD.SHARED_STAGES", str(shared)])
        )
        assert len(model.free_stages) == 5 - shared
        with torch.no_grad():
            found = model.eval()(data)[:, 0]
            if large:  # a branch more: products of another shape may round otherwise
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
            else:
                assert torch.equal(found, expected)
        losses = step(model, data)
        assert all(torch.isfinite(loss) for loss in losses.values())


def test_a_pooling_without_a_short_cut_is_applied_to_every_attribute():
    """As Eq. 1 says it; a known pooling gives the same the long way."""
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(2, 6, 4, 2, generator=generator)
    attention = torch.rand(2, 3, 4, 2, generator=generator, requires_grad=True)

    class Spread(torch.nn.Module):
        def forward(self, x):
            return x.amax(dim=(2, 3), keepdim=True) - x.mean(dim=(2, 3), keepdim=True)

    found = pooling_of(Spread())(features, attention)
    for k in range(3):
        torch.testing.assert_close(found[:, k], Spread()(features * attention[:, k : k + 1]).flatten(1))
    found.sum().backward()
    assert attention.grad.abs().sum() > 0
    average = pooling_of(torch.nn.AdaptiveAvgPool2d(1))
    stripes = pooling_of(torch.nn.AdaptiveAvgPool2d((2, 1)))
    assert average(features, attention).shape == (2, 3, 6)
    assert stripes(features, attention).shape == (2, 3, 12)
    torch.testing.assert_close(
        pool_plainly(GlobalAvgPool(), features, attention), average(features, attention)
    )


def test_neck_before_and_normalised_features(build_amd):
    before = build_amd("MODEL.AMD.NECK_FEAT", "before").eval()
    normal = build_amd("MODEL.AMD.NORMALIZE", "True").eval()
    plain = build_amd().eval()
    with torch.no_grad():
        data = batch()
        pooled, unit, full = before(data), normal(data), plain(data)
    head = plain.target.model.heads
    torch.testing.assert_close(head.bottleneck(pooled[:, 0, :, None, None])[..., 0, 0], full[:, 0])
    norms = full[:, :1].norm(dim=2, keepdim=True)
    torch.testing.assert_close(unit, full / norms, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "opts, error, words",
    [
        (
            ("MODEL.AMD.TARGET.WEIGHTS", "nowhere.pth"),
            WeightsError,
            ("nowhere.pth", "fastreid-projects train"),
        ),
        (("MODEL.AMD.TARGET.CONFIG", ""), ConfigError, ("MODEL.AMD.TARGET.CONFIG",)),
        (("MODEL.AMD.TARGET.CONFIG", INTERPRETER), ConfigError, ("interpreter",)),
        (("MODEL.AMD.SHARED_STAGES", "6"), ConfigError, ("MODEL.AMD.SHARED_STAGES", "1 to 5")),
        (("MODEL.AMD.ATTRIBUTES", "pets"), ConfigError, ("MODEL.AMD.ATTRIBUTES", "market1501")),
        (("MODEL.AMD.NECK_FEAT", "under"), ConfigError, ("MODEL.AMD.NECK_FEAT",)),
        (
            ("MODEL.AMD.ATTENTION", "sum"),
            ConfigError,
            ("MODEL.AMD.ATTENTION is 'sum'", "'pepu', 'shape' or 'shared'"),
        ),
        (("MODEL.AMD.REDUCTION", "0"), ConfigError, ("MODEL.AMD.REDUCTION is 0", "at least 1")),
        (("MODEL.AMD.NU", "0.0"), ConfigError, ("MODEL.AMD.NU is 0.0", "above 0")),
        (("MODEL.AMD.TAU", "-1.0"), ConfigError, ("MODEL.AMD.TAU is -1.0",)),
        (("MODEL.AMD.KAPPA", "-0.1"), ConfigError, ("MODEL.AMD.KAPPA is -0.1", "1/M")),
        (("MODEL.AMD.INIT_BIAS", "nan"), ConfigError, ("MODEL.AMD.INIT_BIAS is nan",)),
        (("MODEL.AMD.TEST.CHUNK", "0"), ConfigError, ("MODEL.AMD.TEST.CHUNK is 0",)),
        (("TEST.ROC.ENABLED", "True"), ConfigError, ("TEST.ROC.ENABLED is True", "the target's own config")),
        (("TEST.FIDELITY.TRAIN", "True"), ConfigError, ("TEST.FIDELITY.TRAIN is True",)),
        (("MODEL.AMD.REPORT.TOP_K", "0"), ConfigError, ("MODEL.AMD.REPORT.TOP_K is 0",)),
        (("MODEL.AMD.PRETRAIN_PATH", "no.pth"), WeightsError, ("MODEL.AMD.PRETRAIN_PATH", "no.pth")),
        (("MODEL.AMD.TARGET.CONFIG", "no.yml"), ConfigError, ("MODEL.AMD.TARGET.CONFIG names no.yml",)),
        (
            ("DATASETS.TESTS", "('Market1501','Market1501MultiQuery')"),
            ConfigError,
            ("DATASETS.TESTS holds Market1501MultiQuery", "leave it out", "the target's own config"),
        ),
        (("DATASETS.NAMES", "('MSMT17',)"), ConfigError, ("MSMT17", "attribute")),
        (("MODEL.LOSSES.NAME", "('TripletLoss',)"), ConfigError, ("TripletLoss", "attribute distances")),
    ],
)
def test_mistakes_are_one_sentence(build_amd, opts, error, words):
    with pytest.raises(error) as caught:
        build_amd(*opts)
    for word in words:
        assert word in str(caught.value)


def test_mistakes_are_found_before_the_target_is_trained(amd_config):
    cfg = amd_config("MODEL.AMD.TARGET.WEIGHTS", "", "TEST.ROC.ENABLED", "True")
    with pytest.raises(ConfigError, match=r"STAGES interpreter: TEST\.ROC\.ENABLED is True"):
        check_stages(build_stages(cfg))


def test_weights_of_another_target(build_amd, tmp_path):
    _, weights = save_target(tmp_path, "MODEL.BACKBONE.DEPTH", "34x")
    build_amd("MODEL.AMD.TARGET.WEIGHTS", weights, "MODEL.AMD.TARGET.CONFIG", str(tmp_path / "config.yaml"))
    with pytest.raises(WeightsError, match="do not belong") as caught:
        build_amd("MODEL.AMD.TARGET.WEIGHTS", weights)
    assert weights in str(caught.value)


def test_a_target_that_has_diverged(build_amd, target_files, tmp_path):
    state = torch.load(target_files[1], weights_only=True)["model"]
    state["backbone.conv1.weight"][0] = float("nan")
    torch.save({"model": state}, tmp_path / "nan.pth")
    with pytest.raises(WeightsError, match=r"nan\.pth contain values that are not finite.*backbone\.conv1"):
        build_amd("MODEL.AMD.TARGET.WEIGHTS", str(tmp_path / "nan.pth"))


def test_a_target_that_returns_logits(build_amd, target_files, tmp_path):
    cfg = load_config(target_files[0], ["MODEL.HEADS.NAME", "ClasHead"])
    (tmp_path / "config.yaml").write_text(cfg.dump())
    with pytest.raises(ConfigError, match="ClasHead: it returns logits"):
        build_amd("MODEL.AMD.TARGET.CONFIG", str(tmp_path / "config.yaml"))


@pytest.fixture
def saved(build_amd, tmp_path):
    """The demo's interpreter, N = 3, and its file."""
    model = build_amd()
    torch.save({"model": model.state_dict()}, tmp_path / "amd.pth")
    return model, str(tmp_path / "amd.pth")


def test_weights_of_an_interpreter_of_another_depth(build_amd, amd_config, saved):
    """The frozen target fills most of the file, whatever the interpreter is."""
    model, path = saved
    with pytest.raises(WeightsError, match="SHARED_STAGES 3, not 5; set it to 3"):
        build_amd("MODEL.WEIGHTS", path, "MODEL.AMD.SHARED_STAGES", "5")
    own = {k: v for k, v in interpreter(model).items() if not k.startswith("free_stages.1.")}
    with pytest.raises(WeightsError, match="SHARED_STAGES 3, not 4; set it to 3"):
        check_saved(amd_config("MODEL.WEIGHTS", path, "MODEL.AMD.SHARED_STAGES", "4"), own, MARKET1501)


def interpreter(model):
    return {k: v for k, v in model.state_dict().items() if not k.startswith("target.")}


def test_weights_of_an_interpreter_that_is_not_the_configs(amd_config, saved):
    model, path = saved
    cfg, own = amd_config("MODEL.WEIGHTS", path), interpreter(model)
    check_saved(cfg, own, MARKET1501)
    wide = own | {"head.reduce.bias": torch.zeros(128)}
    with pytest.raises(
        WeightsError, match=r"head\.reduce\.bias is \(64,\) in the file and \(128,\) by the config"
    ):
        check_saved(cfg, wide, MARKET1501)
    with pytest.raises(WeightsError, match=r"head\.extra is absent in the file"):
        check_saved(cfg, own | {"head.extra": torch.zeros(1)}, MARKET1501)
    torch.save({"model": own | {"head.reduce.bias": torch.full((64,), float("inf"))}}, path)
    with pytest.raises(WeightsError, match=r"not finite, e\.g\. in head\.reduce\.bias"):
        check_saved(cfg, own, MARKET1501)


def test_images_of_another_size_than_the_targets_are_warned_of(amd_config, target_files, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    target = load_config(target_files[0])
    warn_of_another_size(amd_config(), target)
    assert not caplog.records
    warn_of_another_size(amd_config("INPUT.SIZE_TEST", "[256, 128]"), target)
    (message,) = {record.getMessage() for record in caplog.records}
    assert "[256, 128], but the target's own config says [128, 64]" in message


def test_a_run_is_used_from_anywhere(build_amd, amd_config, saved, tmp_path):
    """By the copy of the target's config that its evaluation leaves beside its weights."""
    save_target_config(amd_config("OUTPUT_DIR", str(tmp_path)))
    moved = build_amd("MODEL.AMD.TARGET.CONFIG", "gone/config.yaml", "MODEL.WEIGHTS", saved[1])
    assert moved.output_names == saved[0].output_names


def test_repvgg_is_cut_by_its_stages():
    """With a last stride of 1 only four of its five stages halve the resolution."""
    from fastreid.modeling.backbones import repvgg

    backbone = repvgg.RepVGG(1, "BN", [1, 1, 1, 1], [0.25] * 4).eval()
    stages = split_stages(backbone)
    image = torch.rand(1, 3, 64, 32)
    assert len(stages) == 5
    assert torch.equal(run_stages(stages, image), backbone(image))
