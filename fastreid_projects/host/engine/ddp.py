"""Patches of engine/defaults.py:210: DistributedDataParallel on any device, and equal statistics in all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from fastreid.engine import defaults
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel


class DeviceAwareDDP(DistributedDataParallel):
    """DistributedDataParallel for any model of the host's trainer (defaults.py:210).

    * The host always names a GPU; a model on the CPU must not have one.
    * Parameters may lack a gradient, like a classifier without a loss on its logits. PyTorch has to look for
      them in each step; otherwise the second step fails.
    * Buffers are made equal once, at the start, because each process draws its own queue of MoCo.
    """

    def __init__(self, module: nn.Module, device_ids: list[int] | None = None, **options: Any) -> None:
        on_gpu = any(parameter.is_cuda for parameter in module.parameters())
        options.setdefault("find_unused_parameters", True)
        for buffer in module.buffers():
            if buffer.is_floating_point():
                dist.broadcast(buffer, 0)
        super().__init__(module, device_ids=device_ids if on_gpu else None, **options)


class EqualStatistics(HookBase):
    """Set the running statistics of the batch norms in all processes to their mean after each epoch.

    defaults.py:211 leaves each process its own statistics: shards of the test images are then embedded by different
    models, and the main process saves one that was never evaluated. This is done after each epoch, evaluated or not, so
    that training with and without an interruption stays the same.
    """

    def after_epoch(self) -> None:
        """Average the statistics; has to come before evaluation and checkpoint."""
        average_statistics(self.trainer.model)


@torch.no_grad()
def average_statistics(model: nn.Module) -> None:
    """Average the running means and variances over all processes; every process has to call it.

    Frozen batch norms, which are in evaluation mode, are equal anyway and are left alone.
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


def patch_ddp() -> None:
    """Replace DDP by a subclass, so that the host's ``isinstance`` checks stay valid."""
    defaults.DistributedDataParallel = DeviceAwareDDP
