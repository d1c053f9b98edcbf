"""The trainer's wrapper for several processes, and how they gather, on the CPU; two processes are in tests/engine."""

import pickle
import warnings

import pytest
import torch
import torch.distributed as dist
from fastreid.engine import defaults
from fastreid.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from fastreid_projects.engine.processes import agreement
from fastreid_projects.errors import ConfigError
from fastreid_projects.host.engine import ddp


@pytest.fixture
def group(tmp_path):
    """A group of one process."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_a_model_on_the_cpu_can_be_wrapped_as_the_host_does(group):
    """engine/defaults.py:210: 'device_ids can only be None ... for CPU modules' without the patch."""
    with pytest.raises(ValueError, match="device_ids"):
        DistributedDataParallel(nn.Linear(2, 2), device_ids=[0], broadcast_buffers=False)
    model = defaults.DistributedDataParallel(nn.Linear(2, 2), device_ids=[0], broadcast_buffers=False)
    assert isinstance(model, DistributedDataParallel)
    model(torch.ones(1, 2)).sum().backward()
    assert model.module.weight.grad is not None


def test_a_parameter_may_go_without_a_gradient(group):
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return {"loss": self.used(x).sum()}

    plain = DistributedDataParallel(Half(), broadcast_buffers=False)
    plain(torch.ones(1, 2))["loss"].backward()
    with pytest.raises(RuntimeError, match="finished reduction"):
        plain(torch.ones(1, 2))
    model = defaults.DistributedDataParallel(Half(), broadcast_buffers=False)
    for _ in range(2):
        model(torch.ones(1, 2))["loss"].backward()
    assert model.module.unused.weight.grad is None, "as in one process: no weight decay either"


def test_statistics_are_averaged_where_they_move(group, monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(
        dist, "all_reduce", lambda total: total.mul_(3)
    )  # the other process has twice as much
    model = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm1d(2))
    model[1].eval()
    ddp.average_statistics(model)
    assert model[0].running_var.tolist() == [1.5] * 3
    assert model[1].running_var.tolist() == [1, 1], "frozen"


def test_gathering_warns_of_nothing(group):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = comm._serialize_to_tensor({"a": [1, 2]}, dist.group.WORLD)
    assert pickle.loads(found.numpy().tobytes()) == {"a": [1, 2]}


def test_what_processes_have_to_agree_on(monkeypatch):
    monkeypatch.setattr(comm, "all_gather", lambda value: [3, value])
    assert agreement.main_value(4) == 3
    agreement.require_same(3, "differ")
    with pytest.raises(ConfigError, match="differ"):
        agreement.require_same(4, "differ")
