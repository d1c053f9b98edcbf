"""Weights under other projects' names: renamed where most of them then fit, and loaded by every way in."""

import logging

import pytest
import torch
from fastreid.utils.checkpoint import Checkpointer

from fastreid_projects.checkpoints.dialects import in_own_names
from fastreid_projects.config import load_config
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import WeightsError


def model_of(*opts):
    keys = ["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.BACKBONE.DEPTH", "18x"]
    keys += [
        "MODEL.BACKBONE.FEAT_DIM",
        "512",
        "MODEL.HEADS.NUM_CLASSES",
        "3",
        "MODEL.HEADS.WITH_BNNECK",
        "True",
    ]
    return Trainer.build_model(load_config("", [*keys, *opts]))


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(3)
    return model_of()


def renamed(state, *pairs):
    new = dict(state)
    for old, replacement in pairs:
        new = {replacement + k.removeprefix(old) if k.startswith(old) else k: v for k, v in new.items()}
    return new


def without_head(state):
    return {k: v for k, v in state.items() if not k.startswith("heads.bottleneck")}


def load_and_log(checkpointer, path, caplog):
    """Load, with the host's log in caplog whatever handlers it has."""
    caplog.set_level(logging.INFO, logger=checkpointer.logger.name)
    checkpointer.logger.addHandler(caplog.handler)
    checkpointer.load(str(path))
    checkpointer.logger.removeHandler(caplog.handler)


NORMALISATION = {"pixel_mean": torch.zeros(1, 3, 1, 1), "pixel_std": torch.ones(1, 3, 1, 1)}
DIALECTS = {
    "FastReID of 2021": lambda s: renamed(s, ("heads.weight", "heads.classifier.weight")) | NORMALISATION,
    "FastReID of 2020": lambda s: renamed(
        s, ("heads.bottleneck.0.", "heads.bnneck."), ("heads.weight", "heads.classifier.weight")
    ),
    "FastReID of 2020, numbered": lambda s: renamed(
        s, ("heads.bottleneck.0.", "heads.bnneck.0."), ("heads.weight", "heads.classifier.weight")
    ),
    "BoT or TransReID": lambda s: renamed(
        s,
        ("backbone.", "base."),
        ("heads.bottleneck.0.", "bottleneck."),
        ("heads.weight", "classifier.weight"),
    ),
    "torchreid, torchvision or timm": lambda s: renamed(
        without_head(s), ("backbone.", ""), ("heads.weight", "classifier.weight")
    ),
    "a training framework": lambda s: {f"model.{k}": v for k, v in s.items()},
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_is_recognised(trained, dialect):
    state = trained.state_dict()
    found, project = in_own_names(state, DIALECTS[dialect](state))
    assert project == dialect.split(", numbered")[0]
    assert all(torch.equal(state[name], value) for name, value in found.items())
    assert len(found) >= len(without_head(state))


def test_a_wrapper_around_another_projects_names_is_taken_off_first(trained):
    state = trained.state_dict()
    wrapped = {f"model.{k}": v for k, v in DIALECTS["BoT or TransReID"](state).items()}
    found, project = in_own_names(state, wrapped)
    assert project == "BoT or TransReID"
    assert found.keys() == state.keys()


@pytest.mark.parametrize("wrapper", ["_orig_mod.", "model._orig_mod.module.", "net.model."])
def test_wrappers_in_wrappers_are_taken_off(trained, wrapper):
    state = trained.state_dict()
    found, project = in_own_names(state, {f"{wrapper}{k}": v for k, v in state.items()})
    assert project == "a training framework"
    assert found.keys() == state.keys()
    found, project = in_own_names(
        state, {f"{wrapper}base.{k.removeprefix('backbone.')}": v for k, v in state.items()}
    )
    assert project == "BoT or TransReID"


def test_the_models_own_names_stay(trained):
    state = trained.state_dict()
    found, project = in_own_names(state, state)
    assert project == ""
    assert found.keys() == state.keys()


def test_the_neck_behind_a_reduction_is_found():
    state = model_of("MODEL.HEADS.EMBEDDING_DIM", "32").state_dict()
    old = renamed(state, ("heads.bottleneck.1.", "heads.bnneck."))
    found, project = in_own_names(state, old)
    assert "reduced" in project
    assert found.keys() == state.keys()


def test_no_rule_makes_another_model_fit(trained):
    strangers = {f"layer{i}.weight": torch.zeros(i + 1) for i in range(5)}
    assert in_own_names(trained.state_dict(), strangers) == (strangers, "")


def test_two_entries_never_become_one(trained):
    state = trained.state_dict()
    both = {**state, "heads.classifier.weight": state["heads.weight"] + 1}
    found, project = in_own_names(state, both)
    assert project == ""
    assert torch.equal(found["heads.weight"], state["heads.weight"])


@pytest.mark.parametrize("dialect", ["FastReID of 2020", "FastReID of 2021", "BoT or TransReID"])
def test_a_file_of_each_is_loaded_whole(trained, dialect, tmp_path, caplog):
    path = tmp_path / "old.pth"
    torch.save({"model": DIALECTS[dialect](trained.state_dict())}, path)
    torch.manual_seed(9)
    model = model_of()
    checkpointer = Checkpointer(model)
    checkpointer.classes = 3
    load_and_log(checkpointer, path, caplog)
    expected = trained.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert f"The weights have the names of {dialect}: they are renamed" in caplog.text


def test_a_neck_that_a_file_lacks_is_still_refused_for_an_evaluation(trained, tmp_path):
    path = tmp_path / "torchreid.pth.tar"
    torch.save({"state_dict": DIALECTS["torchreid, torchvision or timm"](trained.state_dict())}, path)
    checkpointer = Checkpointer(model_of())
    checkpointer.classes = 3
    with pytest.raises(
        WeightsError, match=r"heads\.bottleneck\.0.*which may be MODEL\.HEADS\.WITH_BNNECK False, or"
    ):
        checkpointer.load(str(path))
    fitting = Checkpointer(model_of("MODEL.HEADS.WITH_BNNECK", "False"))
    fitting.classes = 3
    fitting.load(str(path))


@pytest.mark.parametrize("evaluated", [True, False])
def test_a_classifier_of_other_classes_is_not_warned_of(trained, evaluated, tmp_path, caplog):
    path = tmp_path / "weights.pth"
    torch.save({"model": trained.state_dict()}, path)
    checkpointer = Checkpointer(model_of("MODEL.HEADS.NUM_CLASSES", "5"))
    if evaluated:
        checkpointer.classes = 5
    load_and_log(checkpointer, path, caplog)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert ("heads.weight is not loaded: 5 classes here, 3 in the file" in caplog.text) is not evaluated
