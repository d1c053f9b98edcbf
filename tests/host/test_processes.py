"""The trainer's wrapper for several processes, on the CPU."""

import pytest
import torch
import torch.distributed as dist
from fastreid.engine import defaults
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@pytest.fixture
def group(tmp_path):
    """A group of one process."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_a_model_on_the_cpu_can_be_wrapped_as_the_host_does(group):
    """engine/defaults.py:210: 'device_ids can only be None ... for CPU modules' without the mend."""
    with pytest.raises(ValueError, match="device_ids"):
        DistributedDataParallel(nn.Linear(2, 2), device_ids=[0], broadcast_buffers=False)
    model = defaults.DistributedDataParallel(nn.Linear(2, 2), device_ids=[0], broadcast_buffers=False)
    assert isinstance(model, DistributedDataParallel)
    model(torch.ones(1, 2)).sum().backward()
    assert model.module.weight.grad is not None
