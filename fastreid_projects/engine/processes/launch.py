"""Start a run in one or several processes.

The host's ``launch`` (engine/launch.py:77-82) insists on CUDA and NCCL. Here the device of the config decides: NCCL on
GPUs, gloo on CPUs, where ``--num-gpus`` gives the number of processes.
"""

from __future__ import annotations

import argparse
import datetime
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import get_error_handler

from fastreid_projects import interrupts
from fastreid_projects.config import load_config
from fastreid_projects.engine.arguments import default_url
from fastreid_projects.engine.processes.failure import Board, Failure, OtherProcessFailed, end_now
from fastreid_projects.engine.processes.supervise import supervise
from fastreid_projects.errors import ConfigError, UserError
from fastreid_projects.host.utils.comm import TIMEOUT, set_local_group

Work = Callable[[argparse.Namespace], None]
MEETING = datetime.timedelta(minutes=10)  # how long processes wait until all have joined
_MOST_PROCESSES = max(64, os.cpu_count() or 1)


class Place(NamedTuple):
    """The place of a process among those of its run.

    Attributes:
        rank: the rank among all processes.
        size: the number of all processes.
        local_rank: the rank among the processes of this machine.
        local_size: the number of processes of this machine.
        url: the URL at which all processes meet.
        on_gpus: whether each process has a GPU.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    url: str
    on_gpus: bool


def launch(work: Work, args: argparse.Namespace) -> None:
    """Call ``work(args)`` here, or in ``--num-gpus`` processes of this machine, or as one rank of torchrun.

    Raises:
        UserError: the first one that the work raised, in any process.
        ConfigError: the arguments contradict each other or the machine.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _as_rank_of_torchrun(work, args)
        return
    check_arguments(args)
    if args.num_machines * args.num_gpus > 1:
        _start(work, args)
    else:
        work(args)


def check_arguments(args: argparse.Namespace) -> None:
    """Check ``--num-gpus``, ``--num-machines`` and ``--machine-rank``.

    Raises:
        ConfigError: a number is out of range.
    """
    for flag, value in (("--num-gpus", args.num_gpus), ("--num-machines", args.num_machines)):
        if value < 1:
            raise ConfigError(f"{flag} is {value}; it has to be 1 or more (MODEL.DEVICE cpu is for no GPU)")
    if args.num_gpus > _MOST_PROCESSES:
        raise ConfigError(
            f"--num-gpus is {args.num_gpus}; this machine runs at most {_MOST_PROCESSES} processes, one per GPU or core"
        )
    if not 0 <= args.machine_rank < args.num_machines:
        raise ConfigError(
            f"--machine-rank is {args.machine_rank}; with --num-machines {args.num_machines} it has to be 0 to "
            f"{args.num_machines - 1}"
        )
    if args.num_machines > 1 and args.dist_url == "auto":
        raise ConfigError(
            "--dist-url auto is for one machine; name a port of the first machine, e.g. tcp://10.0.0.1:29500"
        )


def uses_gpus(args: argparse.Namespace, local_size: int) -> bool:
    """Return whether the config's device is CUDA and this machine has it.

    Raises:
        ConfigError: there are fewer GPUs than processes, or the config cannot be loaded.
    """
    device = str(load_config(args.config_file, args.opts or []).MODEL.DEVICE)
    if not device.startswith("cuda") or not torch.cuda.is_available():
        return False
    if torch.cuda.device_count() < local_size:
        raise ConfigError(
            f"{local_size} processes need a GPU each, but this machine has {torch.cuda.device_count()}: start fewer, "
            "or set MODEL.DEVICE cpu"
        )
    return True


def cores_for(local_size: int) -> int:
    """Return the number of threads for a process that shares the cores with others."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // local_size)


def _as_rank_of_torchrun(work: Work, args: argparse.Namespace) -> None:
    rank, size, local_rank, local_size = (
        int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    )
    try:
        on_gpus = uses_gpus(args, local_size)
    except UserError:
        if local_rank:  # all processes read the same config; one message for each machine is enough
            sys.exit(2)
        raise
    place = Place(rank, size, local_rank, local_size, "env://", on_gpus)
    try:
        _in_group(work, args, place, end=lambda failure: end_now(failure.code))
    except OtherProcessFailed as error:
        sys.exit(error.failure.code)  # the process that failed has printed the reason
    except Exception as error:
        get_error_handler().record_exception(error)  # torchrun's summary names it
        raise


def _start(work: Work, args: argparse.Namespace) -> None:
    """Start the processes of this machine, wait for them, and raise the error that ended the first one."""
    on_gpus = uses_gpus(args, args.num_gpus)
    first = Place(
        rank=args.machine_rank * args.num_gpus,
        size=args.num_machines * args.num_gpus,
        local_rank=0,
        local_size=args.num_gpus,
        url=_meeting_place(args),
        on_gpus=on_gpus,
    )
    supervise(_process, (work, args, first), args.num_gpus, debug=getattr(args, "debug", False))


def _meeting_place(args: argparse.Namespace) -> str:
    """Return ``--dist-url``, or on one machine a free port, so that the processes of two runs do not meet."""
    if args.num_machines > 1 or args.dist_url not in (
        "auto",
        default_url(),
    ):
        return str(args.dist_url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def _process(local_rank: int, work: Work, args: argparse.Namespace, first: Place, reports: Any) -> None:
    """Run one of this machine's processes; an error is not printed, but reported to the process that started it."""
    place = first._replace(rank=first.rank + local_rank, local_rank=local_rank)

    def end(failure: Failure) -> None:
        reports.put((failure, None))
        end_now(failure.code)

    try:
        # Until the end, because a received signal and the one passed on for it may come one after the other.
        with interrupts.heeded(resumes=not getattr(args, "eval_only", False)):
            _in_group(work, args, place, end)
    except OtherProcessFailed as error:
        failure, mistake = error.failure, None
    except BaseException as error:
        failure, mistake = Failure.of(error, place.rank), error if isinstance(error, UserError) else None
    else:
        return
    reports.put((failure, mistake))
    sys.exit(failure.code)


def _in_group(work: Work, args: argparse.Namespace, place: Place, end: Callable[[Failure], None]) -> None:
    """Do the work in one of several processes.

    Raises:
        OtherProcessFailed: another process failed first.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(cores_for(place.local_size))
    board = Board(_join(place), place.rank, place.size, end)
    failed = True
    try:
        work(args)
        board.leaving()
        dist.barrier()
        failed = False
    except BaseException as error:
        first = board.first(error)
        if first.kind == "other":
            raise OtherProcessFailed(first) from error
        raise
    finally:
        board.close(failed)
    dist.destroy_process_group()


def _join(place: Place) -> Any:
    """Join the process group, tell the host which ranks share this machine, and return the group's store.

    Raises:
        ConfigError: the processes cannot meet.
    """
    if place.on_gpus:
        torch.cuda.set_device(place.local_rank)
    try:
        store, _, _ = next(dist.rendezvous(place.url, place.rank, place.size, timeout=MEETING))
        store.set_timeout(TIMEOUT)
        dist.init_process_group(
            "nccl" if place.on_gpus else "gloo",
            store=store,
            rank=place.rank,
            world_size=place.size,
            timeout=TIMEOUT,
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"rank {place.rank} of {place.size} did not meet the others at --dist-url {place.url} "
            f"({str(error).splitlines()[0]}): check that all are started and that the port is free"
        ) from error
    for start in range(0, place.size, place.local_size):
        group = dist.new_group(list(range(start, start + place.local_size)), timeout=TIMEOUT)
        if start <= place.rank < start + place.local_size:
            set_local_group(group)
    return dist.PrefixStore("fastreid_projects", store)
