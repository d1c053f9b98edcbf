"""Several processes: what the host's own ``launch`` and trainer get wrong outside of CUDA, and between ranks."""

from __future__ import annotations

import datetime
import functools
import pickle
from typing import Any

import torch
import torch.distributed as dist
from fastreid.engine import defaults
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from fastreid_projects.errors import ConfigError

# Processes wait for the main one while it ranks and explains. A process that is lost is noticed by other means.
TIMEOUT = datetime.timedelta(hours=12)


class DeviceAwareDDP(DistributedDataParallel):
    """DistributedDataParallel for any model of the host's trainer (defaults.py:210).

    * The host always names a GPU; a model on the CPU must not have one.
    * Parameters may go without a gradient, as a classifier does without a loss on its logits. PyTorch looks for
      them in each step; else the second one fails.
    * Buffers are made equal once, at the start: the queue of MoCo is drawn by each process for itself.
    """

    def __init__(self, module: nn.Module, device_ids: list[int] | None = None, **options: Any) -> None:
        on_gpu = any(parameter.is_cuda for parameter in module.parameters())
        options.setdefault("find_unused_parameters", True)
        for buffer in module.buffers():
            if buffer.is_floating_point():
                dist.broadcast(buffer, 0)
        super().__init__(module, device_ids=device_ids if on_gpu else None, **options)


class EqualStatistics(HookBase):
    """Gives the batch norms of all processes the mean of their running statistics after each epoch.

    defaults.py:211 leaves each process its own: then shards of the test images are embedded by different models, and
    the main process saves one that was never evaluated. After each epoch, evaluated or not, so that a training that
    is interrupted and resumed stays the same.
    """

    def after_epoch(self) -> None:
        """Average; has to come before the evaluation and the checkpoint."""
        average_statistics(self.trainer.model)


@torch.no_grad()
def average_statistics(model: nn.Module) -> None:
    """Average the running means and variances over all processes; every process has to call it.

    Frozen batch norms, which are in evaluation mode, are equal and stay as they are.
    """
    if comm.get_world_size() == 1:
        return
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    buffers = [b for m in norms for b in (m.running_mean, m.running_var) if b is not None]
    if not buffers:
        return
    total = torch.cat([buffer.flatten() for buffer in buffers])
    dist.all_reduce(total)
    total /= comm.get_world_size()
    for buffer, mean in zip(buffers, total.split([b.numel() for b in buffers]), strict=True):
        buffer.copy_(mean.view_as(buffer))


def mend_processes() -> None:
    """Replace how objects are gathered, and DDP: by a subclass, which keeps the host's ``isinstance`` checks valid."""
    defaults.DistributedDataParallel = DeviceAwareDDP
    comm._get_global_gloo_group = gloo_group
    comm._serialize_to_tensor = serialize_to_tensor


def gloo_group() -> Any:
    """The group that gathers Python objects; utils/comm.py:88 lets it wait for half an hour at most."""
    return _gloo_beside_nccl() if dist.get_backend() == "nccl" else dist.group.WORLD


@functools.cache
def _gloo_beside_nccl() -> Any:
    return dist.new_group(backend="gloo", timeout=TIMEOUT)


def serialize_to_tensor(data: Any, group: dist.ProcessGroup) -> torch.Tensor:
    """Pickle an object into a tensor of bytes; utils/comm.py:106 uses a deprecated storage, and warns each time."""
    device = torch.device("cpu" if dist.get_backend(group) == "gloo" else "cuda")
    return torch.frombuffer(bytearray(pickle.dumps(data)), dtype=torch.uint8).to(device)


def set_local_group(group: dist.ProcessGroup) -> None:
    """Name the group of the ranks that share this machine.

    Only the host's launch sets it (engine/launch.py:101), and utils/comm.py:45 asserts that it is set.

    Args:
        group: as of ``torch.distributed.new_group``.
    """
    comm._LOCAL_PROCESS_GROUP = group


def main_value(value: Any) -> Any:
    """The main process's value, on every process: for what is read from files that the main process changes."""
    return comm.all_gather(value)[0]


def require_same(value: Any, sentence: str) -> None:
    """Raise ConfigError with the sentence, on every process, where they do not all have the same value."""
    if len(set(comm.all_gather(value))) > 1:
        raise ConfigError(sentence)
