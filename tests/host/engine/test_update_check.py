"""The first update is looked at: something trainable moves, nothing frozen does."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fastreid_projects.errors import TrainingError
from fastreid_projects.host.engine.update_check import PATIENCE, UpdateCheck


class Scaler:
    def __init__(self):
        self.scale = 4.0

    def get_scale(self):
        return self.scale


def setup(lr=0.1, scaler=None):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr)
    check = UpdateCheck()
    check.trainer = SimpleNamespace(model=model, optimizer=optimizer, iter=0, grad_scaler=scaler)
    return check, model, optimizer


def backward(model):
    model(torch.ones(1, 2)).sum().backward()


def test_an_update_that_moves():
    check, model, optimizer = setup()
    backward(model)
    check.before_step()
    optimizer.step()
    check.after_step()
    assert check.done
    check.before_step()
    assert check._before is None


def test_an_update_that_moves_nothing():
    check, model, _ = setup()
    backward(model)
    check.before_step()
    with pytest.raises(
        TrainingError, match=r"iteration 0 moved none of the 2 trainable weights .*0\.bias, 0\.weight"
    ):
        check.after_step()


def test_an_optimizer_of_other_parameters_is_found():
    """What FastReID itself does on PyTorch 2: its optimizer holds flat buffers."""
    check, model, _ = setup()
    buffer = nn.Parameter(torch.zeros(6))
    check.trainer.optimizer = torch.optim.SGD([buffer], lr=0.1)
    backward(model)
    check.before_step()
    check.trainer.optimizer.step()
    with pytest.raises(TrainingError, match="holds the model's own parameters"):
        check.after_step()


def test_a_frozen_weight_that_moves():
    check, model, optimizer = setup()
    backward(model)
    check.before_step()
    optimizer.step()
    model[1].bias.data[0] += 1e-6
    with pytest.raises(TrainingError, match=r"changed frozen weights \(1\.bias\)"):
        check.after_step()


def test_a_layer_of_freeze_layers_that_moves():
    check, model, optimizer = setup()
    check = UpdateCheck(["0"], 5)
    check.trainer = SimpleNamespace(model=model, optimizer=optimizer, iter=4, grad_scaler=None)
    backward(model)
    check.before_step()
    optimizer.step()
    with pytest.raises(TrainingError, match=r"iteration 4 changed frozen weights \(0\.bias, 0\.weight\)"):
        check.after_step()
    check.trainer.iter = 5
    check.before_step()
    optimizer.step()
    check.after_step()
    assert check.done


def test_a_weight_that_the_optimizer_does_not_hold():
    check, model, _ = setup()
    check.trainer.optimizer = torch.optim.SGD([model[0].weight], lr=0.1)
    backward(model)
    check.before_step()
    check.trainer.optimizer.step()
    with pytest.raises(TrainingError, match=r"does not hold 1 trainable weights .*\(0\.bias\)"):
        check.after_step()
    model.zero_grad()
    backward(model)
    model[0].bias.grad.zero_()  # without a gradient there is nothing to miss
    check.before_step()
    check.trainer.optimizer.step()
    check.after_step()
    assert check.done


def test_a_momentum_encoder_may_move():
    check, model, optimizer = setup()
    model[1].moves_without_gradient = True
    backward(model)
    check.before_step()
    optimizer.step()
    model[1].bias.data += 1
    check.after_step()
    assert check.done


def test_a_learning_rate_of_0_is_waited_for():
    check, model, optimizer = setup(lr=0.0)
    backward(model)
    check.before_step()
    optimizer.step()
    check.after_step()
    assert not check.done
    optimizer.param_groups[0]["lr"] = 0.1
    check.before_step()
    optimizer.step()
    check.after_step()
    assert check.done


def test_a_step_that_the_scaler_leaves_out_is_not_counted():
    scaler = Scaler()
    check, model, optimizer = setup(scaler=scaler)
    backward(model)
    check.before_step()
    scaler.scale = 2.0
    check.after_step()
    assert not check.done
    check.before_step()
    optimizer.step()
    check.after_step()
    assert check.done


def test_no_gradient_is_let_pass_for_a_while():
    check, *_ = setup()
    for _ in range(PATIENCE - 1):
        check.before_step()
        check.after_step()
    check.before_step()
    with pytest.raises(TrainingError, match=f"No trainable weight got a gradient in {PATIENCE} steps"):
        check.after_step()


def test_layers_that_are_frozen_for_now_are_no_failure():
    check, model, optimizer = setup()
    optimizer.param_groups[0]["freeze_status"] = "freeze"
    backward(model)
    check.before_step()
    check.after_step()
    assert not check.done


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_smallest_change_is_seen(dtype):
    check, model, _ = setup()
    model.to(dtype)
    check.before_step()
    weight = model[0].weight
    weight.data[0, 0] = torch.nextafter(weight.data[0, 0].double(), torch.tensor(9.0).double()).to(dtype)
    weight.data[0, 0] += torch.finfo(dtype).eps * 2
    check.after_step()
    assert check.done
