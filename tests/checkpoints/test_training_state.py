"""A resumed run continues by its config, from where the checkpoint is."""

import fastreid_projects  # noqa: F401  (patches the host before anything of it is imported)

# isort: split
import logging

import pytest
import torch
from fastreid.config import get_cfg
from fastreid.solver import build_lr_scheduler
from torch import nn

from fastreid_projects.checkpoints.training_state import restore_states
from fastreid_projects.errors import WeightsError

ITERS = 2


def make(sched="CosineAnnealingLR", epochs=3, rate=1e-3, kind=torch.optim.Adam, **options):
    """A training's optimizer and schedules."""
    cfg = get_cfg()
    cfg.SOLVER.SCHED, cfg.SOLVER.MAX_EPOCH, cfg.SOLVER.DELAY_EPOCHS = sched, epochs, 1
    cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.ETA_MIN_LR = ITERS, 1e-7
    cfg.SOLVER.STEPS = [
        step for step in (2, 4) if step < epochs - 1
    ]  # a later one has no effect, and is refused
    optimizer = kind(nn.Linear(2, 2).parameters(), lr=rate, **options)
    return {"optimizer": optimizer, **build_lr_scheduler(cfg, optimizer, ITERS)}


def train(states, first, last):
    """The learning rate of each epoch, as the host's hook steps the schedules."""
    rates = []
    for epoch in range(first, last):
        rates.append(states["optimizer"].param_groups[0]["lr"])
        for weight in states["optimizer"].param_groups[0]["params"]:
            weight.grad = torch.ones_like(weight)
        for _ in range(ITERS):
            states["optimizer"].step()
            if epoch == 0:
                states["warmup_sched"].step()
        if epoch > 0:
            states["lr_sched"].step()
    return rates


def saved(states):
    return {name: target.state_dict() for name, target in states.items()}


def resumed(state, **settings):
    states = make(**settings)
    restore_states(states, state, "a.pth")
    return states


@pytest.mark.parametrize("done", [1, 2, 3])
@pytest.mark.parametrize("sched", ["CosineAnnealingLR", "MultiStepLR"])
def test_a_longer_training_goes_on_as_if_it_had_been_that_long(done, sched):
    whole = make(sched, epochs=6)
    expected = train(whole, 0, 6)
    states = make(sched, epochs=3)
    rates = train(states, 0, done)
    states = resumed(saved(states), sched=sched, epochs=6)
    assert rates[:1] + train(states, done, 6) == pytest.approx(expected[:1] + expected[done:])


def test_the_same_config_goes_on_bit_for_bit():
    whole = make(epochs=6)
    expected = train(whole, 0, 6)
    states = make(epochs=6)
    rates = train(states, 0, 4)
    states = resumed(saved(states), epochs=6)
    assert rates + train(states, 4, 6) == expected


def test_another_schedule_and_rate_of_the_config_count(caplog):
    states = make("CosineAnnealingLR", epochs=4)
    train(states, 0, 3)
    with caplog.at_level(logging.WARNING):
        states = resumed(saved(states), sched="MultiStepLR", epochs=8, rate=0.5)
    assert "lr_sched continues by this config" in caplog.text
    assert "milestones" in caplog.text
    assert train(states, 3, 8) == pytest.approx([0.05, 0.05, 0.005, 0.005, 0.005])


def test_a_rate_changed_before_the_schedule_starts_counts():
    states = make()
    train(states, 0, 1)
    states = resumed(saved(states), rate=0.5)
    assert states["optimizer"].param_groups[0]["lr"] == pytest.approx(0.5)


def test_options_are_the_configs_and_moments_the_checkpoints():
    states = make(weight_decay=0.1)
    train(states, 0, 2)
    before = states["optimizer"]
    after = resumed(saved(states), weight_decay=0.3)["optimizer"]
    assert after.param_groups[0]["weight_decay"] == 0.3
    assert after.param_groups[0]["lr"] == before.param_groups[0]["lr"]
    old, new = (next(iter(optimizer.state.values()))["exp_avg"] for optimizer in (before, after))
    assert torch.equal(old, new)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.RMSprop])
def test_another_optimizer_is_one_sentence(kind):
    states = make()
    train(states, 0, 1)
    with pytest.raises(
        WeightsError, match=r"'optimizer' in 'a\.pth'.*belongs to an optimizer other than SOLVER\.OPT"
    ):
        resumed(saved(states), kind=kind)
    states = make(kind=kind)
    train(states, 0, 1)
    with pytest.raises(WeightsError, match="an optimizer other than SOLVER"):
        resumed(saved(states))


def test_a_schedule_without_a_closed_form_is_the_checkpoints():
    def decaying(steps):
        optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, [lambda epoch: 1 / (1 + epoch)])
        for _ in range(steps):
            optimizer.step()
            schedule.step()
        return {"optimizer": optimizer, "lr_sched": schedule}

    states = decaying(2)
    other = decaying(0)
    restore_states(other, saved(states), "a.pth")
    assert other["optimizer"].param_groups[0]["lr"] == states["optimizer"].param_groups[0]["lr"]
