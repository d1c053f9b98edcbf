"""A config is checked once and its device settled once, whoever asks."""

import pytest
from fastreid.data import build_reid_train_loader
from fastreid.engine import DefaultTrainer
from fastreid.modeling.meta_arch import build_model

from fastreid_projects.config import ready as module
from fastreid_projects.config.ready import ready
from fastreid_projects.engine.main import main
from fastreid_projects.errors import ConfigError
from tests.conftest import write_market
from tests.engine.test_run import SBS, SMALL


@pytest.fixture
def market(tmp_path, monkeypatch):
    write_market(tmp_path / "data", ids=4, test_ids=3, cameras=2, images=3, size=(32, 64))
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "data"))


@pytest.fixture
def asked(monkeypatch):
    """How often each check runs."""
    counts = {}
    for name in ("check_host_config", "check_training_config", "resolve_device"):
        original = getattr(module, name)

        def counting(cfg, name=name, original=original):
            counts[name] = counts.get(name, 0) + 1
            return original(cfg)

        monkeypatch.setattr(module, name, counting)
    return counts


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_run_checks_and_settles_once(market, tmp_path, asked, device):
    opts = ["OUTPUT_DIR", str(tmp_path / "run"), *SMALL, "MODEL.DEVICE", device]
    assert main(["--config-file", SBS, *opts]) == 0
    assert asked == {"check_host_config": 1, "check_training_config": 1, "resolve_device": 1}
    asked.clear()
    weights = str(tmp_path / "run" / "model_final.pth")
    assert main(["--config-file", SBS, "--eval-only", *opts, "MODEL.WEIGHTS", weights]) == 0
    assert asked == {"check_host_config": 1, "resolve_device": 1}


def test_a_stage_is_looked_at_again_for_the_weights_it_is_handed(market, tmp_path, asked):
    config = tmp_path / "stages.yml"
    config.write_text(f"_BASE_: {SBS}\nSTAGES:\n  - NAME: first\n  - NAME: second\n")
    opts = ["OUTPUT_DIR", str(tmp_path / "run"), *SMALL, "MODEL.DEVICE", "cuda"]
    assert main(["--config-file", str(config), *opts]) == 0
    assert asked == {"check_host_config": 3, "check_training_config": 3, "resolve_device": 2}


def test_the_hosts_own_way_is_checked_as_well(market, tiny_cfg, asked, tmp_path):
    cfg = tiny_cfg(*SMALL, "OUTPUT_DIR", str(tmp_path / "run"), "MODEL.HEADS.NUM_CLASSES", 4)
    build_model(cfg)
    build_reid_train_loader(cfg)
    assert asked == {"resolve_device": 1}
    DefaultTrainer(cfg)
    assert asked == {"check_host_config": 1, "check_training_config": 1, "resolve_device": 1}


def test_a_changed_copy_is_checked_again(tiny_cfg, asked):
    cfg = ready(tiny_cfg())
    copy = cfg.clone()
    assert ready(copy) is copy
    assert asked["check_host_config"] == 1
    copy.defrost()
    copy.MODEL.HEADS.POOL_LAYER = "Nothing"
    with pytest.raises(ConfigError, match=r"MODEL\.HEADS\.POOL_LAYER"):
        ready(copy)


def test_a_device_that_is_no_device_is_refused_before_it_is_settled(tiny_cfg):
    cfg = tiny_cfg("MODEL.DEVICE", "cuda:x")
    with pytest.raises(ConfigError, match=r"MODEL\.DEVICE 'cuda:x'"):
        ready(cfg)
    assert cfg.MODEL.DEVICE == "cuda:x"


def test_what_is_noted_is_no_key(tiny_cfg):
    cfg = tiny_cfg()
    before = cfg.dump()
    assert ready(cfg).dump() == before
