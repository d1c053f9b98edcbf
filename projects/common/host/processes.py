"""Tell the host about process groups that its own ``launch`` did not make."""

from __future__ import annotations

import torch.distributed as dist
from fastreid.utils import comm


def set_local_group(group: dist.ProcessGroup) -> None:
    """Name the group of the ranks that share this machine.

    Only the host's launch sets it (engine/launch.py:101), and utils/comm.py:45 asserts that it is set.

    Args:
        group: as of ``torch.distributed.new_group``.
    """
    comm._LOCAL_PROCESS_GROUP = group
