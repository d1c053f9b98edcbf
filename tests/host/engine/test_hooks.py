"""Hooks: evaluation, checkpoints, freezing, printing and the switch to evaluation."""

import os
from types import SimpleNamespace

import pytest
import torch
from fastreid.engine import hooks
from fastreid.evaluation import inference_context
from fastreid.utils.checkpoint import PeriodicCheckpointer
from fastreid.utils.events import CommonMetricPrinter
from torch import nn

from fastreid_projects.errors import ConfigError
from fastreid_projects.host.utils.checkpoint import best_since


@pytest.mark.parametrize(
    ("period", "epochs", "expected"),
    [(0, 3, [2]), (1, 2, [0, 1]), (2, 3, [1, 2]), (2, 4, [1, 3]), (9, 1, [0])],
)
def test_evaluation_comes_periodically_and_after_the_last_epoch(period, epochs, expected, storage, unpatched):
    assert unpatched["evaluation_period_0"].startswith("ZeroDivisionError")
    evaluated = []
    hook = hooks.EvalHook(period, lambda: evaluated.append(hook.trainer.epoch))
    hook.trainer = SimpleNamespace(max_epoch=epochs, storage=storage)
    for hook.trainer.epoch in range(epochs):
        hook.after_epoch()
    hook.after_train()
    assert evaluated == expected


def test_the_end_of_a_run_without_epochs(unpatched):
    assert unpatched["finished_run"].startswith("AttributeError")
    hook = hooks.EvalHook(1, dict)
    hook.trainer = SimpleNamespace(max_epoch=1)
    hook.after_train()


@pytest.mark.parametrize(("tests", "name"), [((), "metric"), (("A",), "metric"), (("A", "B"), "A/metric")])
def test_the_metric_of_the_best_model(tests, name, unpatched):
    assert unpatched["no_test_set"].startswith("IndexError")
    hook = hooks.PeriodicCheckpointer(SimpleNamespace(), 1)
    cfg = SimpleNamespace(
        DATASETS=SimpleNamespace(TESTS=tests), SOLVER=SimpleNamespace(KEEP_CHECKPOINTS=True)
    )
    hook.trainer = SimpleNamespace(max_epoch=1, cfg=cfg)
    hook.before_train()
    assert hook.metric_name == name


class Saves:
    def __init__(self):
        self.saved = []

    def save(self, name, **kwargs):
        self.saved.append((name, kwargs["best_metric"]))


def test_the_best_metric_is_saved(unpatched):
    assert unpatched["best_metric_saved"] is False
    saves = Saves()
    checkpointer = PeriodicCheckpointer(saves, 1, 4)
    for epoch, metric in enumerate((5.0, 3.0, -1, 6.0)):
        checkpointer.step(epoch, metric=metric)
    names = ["model_best", "model_0000", "model_0001", "model_0002", "model_best", "model_final"]
    assert saves.saved == list(zip(names, [5.0] * 4 + [6.0] * 2, strict=True))


def test_the_best_is_kept_also_between_checkpoints():
    """The host looks at the metric only when a checkpoint is due: here, only in epoch 2."""
    saves = Saves()
    checkpointer = PeriodicCheckpointer(saves, 3, 6)
    for epoch, metric in enumerate((2.0, 7.0, 5.0, -1, 8.0, 6.0)):
        checkpointer.step(epoch, metric=metric)
    best, final = [("model_best", 2.0), ("model_best", 7.0)], [("model_best", 8.0), ("model_final", 8.0)]
    assert saves.saved == [*best, ("model_0002", 7.0), *final]


@pytest.mark.parametrize(("newer", "expected"), [(True, 7.0), (False, -1)])
def test_a_best_model_that_is_newer_than_the_checkpoint_counts_on_resume(newer, expected, tmp_path):
    """One that is older is another run's, or counted in the checkpoint."""
    torch.save({"model": {}, "metric": 7.0}, tmp_path / "model_best.pth")
    torch.save({"model": {}}, tmp_path / "model_0002.pth")
    os.utime(tmp_path / "model_0002.pth", (1000, 1000))
    os.utime(tmp_path / "model_best.pth", (2000, 2000) if newer else (500, 500))
    assert best_since(str(tmp_path / "model_0002.pth")) == expected
    assert best_since(str(tmp_path / "elsewhere" / "model_0002.pth")) == -1


def test_a_checkpoint_period_of_0_saves_the_end():
    saves = Saves()
    checkpointer = PeriodicCheckpointer(saves, 0, 2)
    for epoch in range(2):
        checkpointer.step(epoch, metric=-1)
    assert [name for name, _ in saves.saved] == ["model_final"]


def test_printing_an_iteration_twice(storage, unpatched):
    assert unpatched["printing_twice"].startswith("ZeroDivisionError")
    printer = CommonMetricPrinter(3)
    printer.write()
    printer.write()
    storage.iter = 1
    printer.write()
    assert printer._last_write[0] == 1


def test_inference_context_restores_each_module(unpatched):
    assert unpatched["training_mode_after_error"] is False
    assert unpatched["frozen_mode_after_evaluation"] is True
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)).train()
    model[1].eval()
    with inference_context(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == [True, True, False]
    with pytest.raises(KeyError), inference_context(model):
        raise KeyError
    assert [module.training for module in model.modules()] == [True, True, False]


def freeze(layers, iters=2):
    model = nn.ModuleDict(
        {"a": nn.Sequential(nn.BatchNorm1d(1), nn.BatchNorm1d(1)), "b": nn.BatchNorm1d(1)}
    ).train()
    hook = hooks.LayerFreeze(model, layers, iters)
    hook.trainer = SimpleNamespace(iter=0)
    return hook, model


def test_frozen_layers_stay_in_evaluation_mode_until_the_end_of_freezing():
    hook, model = freeze(["a.0"])
    for hook.trainer.iter in range(2):
        hook.before_step()
        assert [model["a"][0].training, model["a"][1].training, model["b"].training] == [False, True, True]
        model.train()
    hook.before_step()
    hook.trainer.iter = 2
    hook.before_step()
    assert all(module.training for module in model.modules())
    assert not hook.is_frozen


def test_a_frozen_head_still_returns_what_the_losses_need():
    """Its own mode says whether it returns logits; that of its norms, whether statistics move."""
    hook, model = freeze(["a"])
    hook.before_step()
    assert model["a"].training
    assert [part.training for part in model["a"]] == [False, False]


def test_a_layer_to_freeze_must_exist():
    with pytest.raises(ConfigError, match=r"MODEL\.FREEZE_LAYERS 'c' is not known"):
        freeze(["a", "c"])


def test_freezing_in_a_wrapped_model():
    model = nn.Sequential(nn.BatchNorm1d(1))
    wrapped = nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel)
    nn.Module.__init__(wrapped)
    wrapped.module = model
    hook = hooks.LayerFreeze(wrapped, ["0"], 1)
    hook.trainer = SimpleNamespace(iter=0)
    hook.before_step()
    assert not model[0].training
    assert isinstance(model, torch.nn.Module)
