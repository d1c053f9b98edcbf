"""Starting one process or several.

The host's ``launch`` (engine/launch.py:77-82) insists on CUDA and NCCL. Here the device of the config decides: NCCL on
GPUs, gloo on CPUs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from fastreid_projects.host.processes import set_local_group

Work = Callable[[argparse.Namespace], None]


def launch(work: Work, args: argparse.Namespace) -> None:
    """Call ``work(args)`` here, or in ``--num-gpus`` processes of this machine, or as one rank of torchrun."""
    world_size = args.num_machines * args.num_gpus
    if "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        _join(int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]), rank, size, "env://")
        _in_group(work, args)
    elif world_size > 1:
        mp.spawn(_process, nprocs=args.num_gpus, args=(work, args, world_size), join=True)
    else:
        work(args)


def _process(local_rank: int, work: Work, args: argparse.Namespace, world_size: int) -> None:
    rank = args.machine_rank * args.num_gpus + local_rank
    _join(local_rank, args.num_gpus, rank, world_size, args.dist_url)
    _in_group(work, args)


def _join(local_rank: int, local_size: int, rank: int, world_size: int, url: str) -> None:
    """Join the process group, and tell the host which ranks share this machine."""
    on_gpus = torch.cuda.device_count() >= local_size
    if on_gpus:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if on_gpus else "gloo", init_method=url, rank=rank, world_size=world_size)
    for first in range(0, world_size, local_size):
        group = dist.new_group(list(range(first, first + local_size)))
        if first <= rank < first + local_size:
            set_local_group(group)


def _in_group(work: Work, args: argparse.Namespace) -> None:
    try:
        work(args)
    finally:
        dist.destroy_process_group()
