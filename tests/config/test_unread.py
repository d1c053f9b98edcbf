"""Values of MODEL without an effect: refused in architectures of this project, warned of in FastReID's and others'."""

import copy
import pickle

import pytest
import torch
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

from fastreid_projects.config import load_config
from fastreid_projects.config.unread import refuse_unread, unread_keys
from fastreid_projects.config.watched import WatchedConfig
from fastreid_projects.engine.load_model import load_trained
from fastreid_projects.engine.stages import build_stages
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError
from tests.amd.conftest import INTERPRETER, save_target
from tests.config.test_all_configs import INTERPRETERS, relative
from tests.yaml_files import RUNNABLE, config_file, without_memory

# A value that each config's model does not read.
UNREAD = [
    ("fidi_bdb_r18_demo", "MODEL.HEADS.EMBEDDING_DIM", "256"),
    ("fidi_bdb_r18_demo", "MODEL.HEADS.NECK_FEAT", "after"),
    ("fidi_bdb_r18_demo", "MODEL.HEADS.CLS_LAYER", "CircleSoftmax"),
    ("fidi_bdb_r18_demo", "MODEL.HEADS.WITH_BNNECK", "True"),
    ("fidi_bdb_r18_demo", "MODEL.SAL.DILATED", "False"),
    ("mpn_r18_demo", "MODEL.HEADS.EMBEDDING_DIM", "256"),
    ("mpn_r18_demo", "MODEL.HEADS.WITH_BNNECK", "True"),
    ("mpn_r18_demo", "MODEL.HEADS.NECK_FEAT", "after"),
    ("mpn_r18_demo", "MODEL.BACKBONE.SIE_COE", "1.0"),
    ("airnet_r18_demo", "MODEL.MPN.PARTS", "4"),
    ("airnet_r18_demo", "MODEL.QUEUE_SIZE", "64"),
    ("sal_ce_r18_demo", "MODEL.SAL.DILATED", "False"),
    ("sal_ce_r18_demo", "MODEL.SAL.DILATION", "(1, 1, 1)"),
    ("sal_ce_r18_demo", "MODEL.SAL.LEVELS", "(5,)"),
    ("sal_r18_demo", "MODEL.BACKBONE.LAST_STRIDE", "2"),
    ("sal_r18_cifar_demo", "MODEL.AIRNET.CONTEXT_AFTER", "['layer2']"),
    ("bagtricks_r18_demo", "MODEL.AMD.NU", "0.7"),
]
AMD_UNREAD = [
    ("MODEL.BACKBONE.PRETRAIN_PATH", "missing.pth"),
    ("MODEL.BACKBONE.DEPTH", "34x"),
    ("MODEL.HEADS.POOL_LAYER", "GlobalMaxPool"),
    ("MODEL.HEADS.NECK_FEAT", "after"),
    ("MODEL.HEADS.EMBEDDING_DIM", "256"),
    ("MODEL.HEADS.CLS_LAYER", "CircleSoftmax"),
]


def small(config, *opts):
    """A config whose model takes no memory."""
    cfg = build_stages(load_config(str(config), list(opts)))[-1].cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.PRETRAIN = cfg.MODEL.BACKBONE.ZERO_INIT_RESIDUAL = False
    cfg.MODEL.DEVICE, cfg.MODEL.HEADS.NUM_CLASSES = "cpu", 4
    return cfg


@pytest.fixture
def on_meta(monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *args, **kwargs: self)
    with torch.device("meta"):
        yield


@pytest.fixture(scope="module")
def built():
    """What is known of models that were built: (MODEL, image sizes) -> (number of weights, keys without an effect)."""
    return {}


@pytest.mark.parametrize("path", [path for path in RUNNABLE if path not in INTERPRETERS], ids=relative)
def test_the_model_of_every_config_builds_and_every_value_has_an_effect(path, built, on_meta, host_log):
    """Configs that differ in their data and schedules alone have one model."""
    for stage in build_stages(load_config(str(path))):
        cfg = stage.cfg.clone()
        cfg.defrost()
        cfg.MODEL.BACKBONE.PRETRAIN = cfg.MODEL.BACKBONE.ZERO_INIT_RESIDUAL = False
        cfg.MODEL.DEVICE, cfg.MODEL.HEADS.NUM_CLASSES = "cpu", 4
        same = (cfg.MODEL.dump(), *cfg.INPUT.SIZE_TRAIN, *cfg.INPUT.SIZE_TEST)
        if same not in built:
            watched = WatchedConfig.of(cfg)
            with torch.device(without_memory(cfg)):
                model = Trainer.build_for_tests(watched)
            built[same] = sum(p.numel() for p in model.parameters()), unread_keys(watched)
        weights, unread = built[same]
        assert weights > 1e5
        assert unread == []


@pytest.mark.parametrize(("name", "key", "value"), UNREAD)
def test_a_value_without_an_effect_is_refused(name, key, value, on_meta):
    Trainer.build_model(small(config_file(name)))
    with pytest.raises(
        ConfigError, match=rf"^{key} .*would have no effect: MODEL\.META_ARCHITECTURE"
    ) as error:
        Trainer.build_model(small(config_file(name), key, value))
    assert f"does not read it; leave it out, or set the default, {key} " in str(error.value)


def test_several_are_named_in_one_sentence(on_meta):
    opts = ("MODEL.HEADS.EMBEDDING_DIM", "256", "MODEL.HEADS.WITH_BNNECK", "True")
    with pytest.raises(
        ConfigError, match=r"EMBEDDING_DIM 256 and MODEL\.HEADS\.WITH_BNNECK True would .* them"
    ):
        Trainer.build_model(small(config_file("mpn_r18_demo"), *opts))


@pytest.mark.parametrize(("key", "value"), AMD_UNREAD)
def test_amd_refuses_what_its_target_alone_reads(amd_config_of, key, value):
    with pytest.raises(ConfigError, match=f"^{key} .*META_ARCHITECTURE AMD .* does not read it"):
        Trainer.build_model(amd_config_of(key, value))


def test_amd_takes_its_own(amd_config_of):
    Trainer.build_model(amd_config_of("MODEL.AMD.NU", "0.7", "MODEL.AMD.TEST.CHUNK", "8"))


@pytest.fixture(scope="module")
def amd_config_of(tmp_path_factory):
    config, weights = save_target(tmp_path_factory.mktemp("target"))
    own = ["MODEL.AMD.TARGET.CONFIG", config, "MODEL.AMD.TARGET.WEIGHTS", weights, "MODEL.DEVICE", "cpu"]
    return lambda *opts: load_config(INTERPRETER, [*own, *opts])


def test_the_hosts_own_parts_are_warned_of(on_meta, host_log):
    """FastReID's config of ResNeSt says WITH_NL, which that backbone does not read: it keeps working."""
    opts = ("MODEL.BACKBONE.NAME", "build_resnest_backbone", "MODEL.BACKBONE.DEPTH", "50x")
    Trainer.build_model(small(config_file("sbs_r50_market1501"), *opts))
    assert "MODEL.BACKBONE.WITH_NL True would have no effect" in host_log.text


def test_plugins_from_outside_are_never_refused(tiny_cfg, host_log):
    """Their parts may read a key later; their own keys are theirs."""
    cfg = tiny_cfg("MODEL.HEADS.NUM_CLASSES", 3, "MODEL.BACKBONE.LAST_STRIDE", 2, "MODEL.AMD.NU", 0.7)
    cfg.MODEL.MINE = type(cfg)({"KEY": 1})
    assert BACKBONE_REGISTRY.get(cfg.MODEL.BACKBONE.NAME).__module__.startswith("tests.")
    Trainer.build_model(cfg)
    assert "MODEL.BACKBONE.LAST_STRIDE 2 and MODEL.AMD.NU 0.7 would have no effect" in host_log.text
    assert "MINE" not in host_log.text


def test_a_file_of_somebody_else_is_from_outside(tmp_path, host_log):
    """It is imported as a module of this package."""
    (tmp_path / "my_head.py").write_text(
        "from fastreid.modeling.heads import REID_HEADS_REGISTRY, EmbeddingHead\n\n\n"
        "@REID_HEADS_REGISTRY.register()\nclass HeadOfAFile(EmbeddingHead):\n    pass\n"
    )
    opts = ("PLUGINS", f"['{tmp_path}/my_head.py']", "MODEL.HEADS.NAME", "HeadOfAFile", "MODEL.AMD.NU", "0.7")
    Trainer.build_model(small(config_file("bagtricks_r18_demo"), *opts))
    assert "MODEL.AMD.NU 0.7 would have no effect" in host_log.text


def test_losses_that_are_not_named_wait(on_meta):
    """Stages and ablations change the names of the losses alone; what a named one does not read is refused."""
    cfg = small(
        config_file("mpn_r18_demo"), "MODEL.LOSSES.FIDI.BETA", "0.1", "MODEL.LOSSES.TRI.MARGIN", "0.5"
    )
    assert cfg.MODEL.LOSSES.NAME == ("CrossEntropyLoss", "BatchHardTripletLoss")
    Trainer.build_model(cfg)


def test_an_evaluation_of_an_earlier_run_goes_on_with_a_warning(tmp_path, host_log):
    """Models were trained with such values before they were refused."""
    opts = ("MODEL.HEADS.NECK_FEAT", "after", "MODEL.MPN.TASKS", "main")
    cfg = small(config_file("mpn_r18_demo"), *opts)
    model = META_ARCH_REGISTRY.get("MPN")(cfg)
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    cfg.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    load_trained(cfg)
    assert "MODEL.HEADS.NECK_FEAT 'after' would have no effect" in host_log.text


# The config that notes


def test_a_watched_config_notes_what_is_read_of_it_and_its_clones():
    cfg = WatchedConfig.of(load_config(""))
    assert cfg.reads == set()
    node = cfg.MODEL.BACKBONE
    assert cfg.reads == set()
    assert (node.DEPTH, cfg["MODEL"]["HEADS"]["NAME"], cfg.MODEL.get("WEIGHTS")) == (
        "50x",
        "EmbeddingHead",
        "",
    )
    assert cfg.MODEL.get("NOWHERE", 3) == 3
    other = cfg.clone()
    other.defrost()
    assert other.MODEL.HEADS.SCALE == 1
    other.MODEL.HEADS.POOL_LAYER = "GlobalMaxPool"
    assert other.MODEL.HEADS.POOL_LAYER == "GlobalMaxPool", "what was set is not the user's"
    assert cfg.reads == {"MODEL.BACKBONE.DEPTH", "MODEL.HEADS.NAME", "MODEL.WEIGHTS", "MODEL.HEADS.SCALE"}


def test_a_watched_config_is_a_config():
    cfg = load_config("")
    cfg.freeze()
    watched = WatchedConfig.of(cfg)
    assert watched == cfg
    assert watched.is_frozen()
    assert watched.dump() == cfg.dump()
    for copied in (copy.deepcopy(watched), pickle.loads(pickle.dumps(watched))):
        assert copied == cfg
        assert copied.MODEL.BACKBONE.DEPTH == "50x"
    with pytest.raises(AttributeError):
        watched.MODEL.DEVICE = "cpu"
    refuse_unread(watched)
