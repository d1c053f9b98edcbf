"""Optimizer and schedule: weights move, names are checked, freezing hits what it names."""

import pytest
import torch
from fastreid.config import get_cfg
from fastreid.engine.train_loop import SimpleTrainer
from fastreid.solver import build_lr_scheduler, build_optimizer
from torch import nn

from fastreid_projects.config.solvers import optimizer_names
from fastreid_projects.errors import ConfigError


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.layer_head = nn.Linear(1, 1)

    def forward(self, batch):
        return {"loss": self.layer_head(self.layer(batch["x"])).square().mean()}


def config(*opts):
    cfg = get_cfg()
    cfg.merge_from_list(list(opts))
    return cfg


def step(model, optimizer):
    optimizer.zero_grad()
    model({"x": torch.ones(2, 2)})["loss"].backward()
    optimizer.step()


def test_weights_move(unpatched, storage):
    assert unpatched["weights_move"] is False
    model = Model()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    trainer = SimpleTrainer(model, [{"x": torch.ones(2, 2)}] * 3, *build_optimizer(config(), model))
    for trainer.iter in range(3):
        trainer.run_step()
    assert not any(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("name", optimizer_names())
@pytest.mark.filterwarnings("ignore:This overload")
def test_every_optimizer_steps(name):
    model = Model()
    before = model.layer.weight.detach().clone()
    optimizer, groups = build_optimizer(config("SOLVER.OPT", name, "SOLVER.BASE_LR", 0.1), model)
    step(model, optimizer)
    assert not torch.equal(before, model.layer.weight)
    assert sum(len(group["params"]) for group in groups) == 4


def test_the_hosts_own_optimizer_is_reachable(unpatched):
    assert unpatched["lamb"].startswith("AttributeError")
    assert "Lamb" in optimizer_names()


def test_unknown_optimizer(unpatched):
    assert unpatched["unknown_optimizer"].startswith("AttributeError")
    with pytest.raises(ConfigError, match=r"SOLVER\.OPT 'Adm' is not known, did you mean 'Adam'\?"):
        build_optimizer(config("SOLVER.OPT", "Adm"), Model())


def test_nothing_to_train(unpatched):
    assert "empty parameter list" in unpatched["nothing_to_train"]
    with pytest.raises(ConfigError, match="No parameter of the model is trainable"):
        build_optimizer(config(), Model().requires_grad_(False))


def test_equal_settings_share_a_group():
    cfg = config("SOLVER.BIAS_LR_FACTOR", 2.0, "SOLVER.WEIGHT_DECAY_BIAS", 0.0)
    _, groups = build_optimizer(cfg, Model())
    assert [len(group["params"]) for group in groups] == [2, 2]
    assert groups[1]["lr"] == pytest.approx(2 * groups[0]["lr"])


def frozen(*layers, model=None, iters=1):
    cfg = config("MODEL.FREEZE_LAYERS", list(layers), "SOLVER.FREEZE_ITERS", iters)
    return build_optimizer(cfg, model or Model())


def test_a_frozen_layer_is_that_layer_only(unpatched):
    assert unpatched["freeze_by_prefix"] == ["freeze"] * 4
    model = Model()
    _, groups = frozen("layer", model=model)
    frozen_parameters = [p for group in groups if group["freeze_status"] == "freeze" for p in group["params"]]
    assert {id(p) for p in frozen_parameters} == {id(p) for p in model.layer.parameters()}


def test_a_layer_to_freeze_must_exist(unpatched):
    assert unpatched["freeze_of_nothing"] == ["normal"] * 4
    with pytest.raises(ConfigError, match=r"MODEL\.FREEZE_LAYERS 'lyer' is not known, did you mean 'layer'"):
        frozen("lyer")


def test_freezing_ends_after_its_steps_and_can_be_resumed():
    model = Model()
    optimizer, _ = frozen("layer", model=model, iters=2)
    start = model.layer.weight.detach().clone()
    head = model.layer_head.weight.detach().clone()
    for _ in range(2):
        step(model, optimizer)
    assert torch.equal(start, model.layer.weight)
    assert not torch.equal(head, model.layer_head.weight)
    step(model, optimizer)
    assert not torch.equal(start, model.layer.weight)

    model = Model()
    optimizer, _ = frozen("layer", model=model, iters=2)
    optimizer.steps_done = 2
    start = model.layer.weight.detach().clone()
    step(model, optimizer)
    assert not torch.equal(start, model.layer.weight)


def test_schedule_of_a_run_that_ends_within_its_warmup(unpatched):
    assert unpatched["no_epoch_after_warmup"].startswith("ZeroDivisionError")
    cfg = config("SOLVER.SCHED", "CosineAnnealingLR", "SOLVER.MAX_EPOCH", 1, "SOLVER.WARMUP_ITERS", 5)
    model = Model()
    optimizer, _ = build_optimizer(cfg, model)
    schedule = build_lr_scheduler(cfg, optimizer, 5)["lr_sched"]
    step(model, optimizer)
    schedule.step()
    assert cfg.SOLVER.MAX_EPOCH == 1


def test_schedule_of_an_epoch_without_iterations(unpatched):
    assert unpatched["no_iterations"].startswith("ZeroDivisionError")
    optimizer, _ = build_optimizer(config(), Model())
    with pytest.raises(ConfigError, match=r"fewer images than SOLVER\.IMS_PER_BATCH 64"):
        build_lr_scheduler(config(), optimizer, 0)


def test_unknown_schedule(unpatched):
    assert unpatched["unknown_schedule"].startswith("KeyError")
    optimizer, _ = build_optimizer(config(), Model())
    with pytest.raises(ConfigError, match=r"SOLVER\.SCHED 'StepLR' is not known"):
        build_lr_scheduler(config("SOLVER.SCHED", "StepLR"), optimizer, 5)
