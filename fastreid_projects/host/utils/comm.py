"""Patches for several processes: what the host's ``launch`` and trainer do wrong without CUDA and between ranks."""

from __future__ import annotations

import datetime
import functools
import pickle
from typing import Any

import torch
import torch.distributed as dist
from fastreid.utils import comm

# Processes wait for the main one while it ranks and explains. A lost process is noticed by other means.
TIMEOUT = datetime.timedelta(hours=12)


def patch_processes() -> None:
    """Replace the functions that gather objects."""
    comm._get_global_gloo_group = gloo_group
    comm._serialize_to_tensor = serialize_to_tensor


def gloo_group() -> Any:
    """Return the group that gathers Python objects; that of utils/comm.py:88 waits for at most half an hour."""
    return _gloo_beside_nccl() if dist.get_backend() == "nccl" else dist.group.WORLD


@functools.cache
def _gloo_beside_nccl() -> Any:
    return dist.new_group(backend="gloo", timeout=TIMEOUT)


def serialize_to_tensor(data: Any, group: dist.ProcessGroup) -> torch.Tensor:
    """Pickle an object into a tensor of bytes; utils/comm.py:106 uses a deprecated storage and warns each time."""
    device = torch.device("cpu" if dist.get_backend(group) == "gloo" else "cuda")
    return torch.frombuffer(bytearray(pickle.dumps(data)), dtype=torch.uint8).to(device)


def set_local_group(group: dist.ProcessGroup) -> None:
    """Set the group of the ranks that share this machine.

    Only the host's launch sets it (engine/launch.py:101), and utils/comm.py:45 asserts that it is set.

    Args:
        group: a group from ``torch.distributed.new_group``.
    """
    comm._LOCAL_PROCESS_GROUP = group
