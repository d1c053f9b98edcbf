"""Several processes: what the host's own ``launch`` and trainer get wrong outside of CUDA."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from fastreid.engine import defaults
from fastreid.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class DeviceAwareDDP(DistributedDataParallel):
    """DistributedDataParallel that also takes a model on the CPU: defaults.py:210 always names a GPU."""

    def __init__(self, module: nn.Module, device_ids: list[int] | None = None, **options: Any) -> None:
        on_gpu = any(parameter.is_cuda for parameter in module.parameters())
        super().__init__(module, device_ids=device_ids if on_gpu else None, **options)


def mend_processes() -> None:
    """Let the host's trainer wrap models on the CPU; a subclass keeps its ``isinstance`` checks valid."""
    defaults.DistributedDataParallel = DeviceAwareDDP


def set_local_group(group: dist.ProcessGroup) -> None:
    """Name the group of the ranks that share this machine.

    Only the host's launch sets it (engine/launch.py:101), and utils/comm.py:45 asserts that it is set.

    Args:
        group: as of ``torch.distributed.new_group``.
    """
    comm._LOCAL_PROCESS_GROUP = group
