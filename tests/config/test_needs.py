"""Keys that need another: an error where nothing would happen, a warning where a group is switched off."""

import logging

import pytest

from fastreid_projects.config import load_config
from fastreid_projects.config.checks import check_training_config
from fastreid_projects.config.needs import check_needs, ignored_settings
from fastreid_projects.errors import ConfigError


def test_layers_without_iterations_and_iterations_without_layers():
    with pytest.raises(
        ConfigError, match=r"MODEL\.FREEZE_LAYERS \['backbone'\] .* SOLVER\.FREEZE_ITERS is 0"
    ):
        check_training_config(load_config("", ["MODEL.FREEZE_LAYERS", "['backbone']"]))
    with pytest.raises(ConfigError, match=r"SOLVER\.FREEZE_ITERS 100 .* MODEL\.FREEZE_LAYERS is empty"):
        check_needs(load_config("", ["SOLVER.FREEZE_ITERS", "100"]))
    check_needs(load_config("", ["MODEL.FREEZE_LAYERS", "['backbone']", "SOLVER.FREEZE_ITERS", "100"]))


def test_settings_of_a_group_that_is_switched_off_are_warned_of(caplog):
    cfg = load_config("", ["INPUT.REA.PROB", "0.9", "INPUT.FLIP.PROB", "0.4", "INPUT.FLIP.ENABLED", "True"])
    assert ignored_settings(cfg) == [("INPUT.REA.PROB", "INPUT.REA.ENABLED")]
    with caplog.at_level(logging.WARNING, logger="fastreid.projects.config"):
        check_needs(cfg)
    assert caplog.messages == ["INPUT.REA.PROB has no effect while INPUT.REA.ENABLED is False"]


def test_defaults_are_not_warned_of():
    assert ignored_settings(load_config()) == []
