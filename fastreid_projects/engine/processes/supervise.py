"""Start the processes of one machine, wait for them, and report why they ended."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from typing import Any, NoReturn

import torch.multiprocessing as mp

from fastreid_projects.engine.processes.failure import Failure, grace
from fastreid_projects.errors import TrainingError, UserError
from fastreid_projects.interrupts import PASSED_ON, meaning

_LOG_LEVEL = "TORCH_CPP_LOG_LEVEL"
START_METHOD = "spawn"  # after a fork of a process that uses CUDA, the child cannot use CUDA


def supervise(
    target: Callable[..., None], args: tuple[Any, ...], number: int, *, debug: bool = False
) -> None:
    """Run ``target(local_rank, *args, reports)`` in new processes and wait; if one fails, all are ended.

    A failing process puts a :class:`Failure` into ``reports``, together with its exception if that is a
    :class:`UserError`, and exits with its code. The error is printed here, once all processes have ended, so that it
    is the last thing on the screen.

    Args:
        target: the function to run, importable by name.
        args: its picklable arguments.
        number: the number of processes.
        debug: whether to print the traceback even of an error for the user.

    Raises:
        UserError: the first failure, if it has a message for the user.
        SystemExit: the exit code of the first failure, after its traceback is printed.
    """
    reports = multiprocessing.get_context(START_METHOD).SimpleQueue()
    with _quiet():
        started = mp.start_processes(target, (*args, reports), number, join=False, start_method=START_METHOD)
    with _forwarding(started.processes):
        killed = _wait(started.processes)
    failures = []
    while not reports.empty():
        failures.append(reports.get())
    if killed is not None:
        _raise_killed(*killed)
    if any(process.exitcode for process in started.processes):
        _raise_first(failures, debug)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let PyTorch print only errors in the processes that are started in this block.

    Its warnings are a dozen lines from C++ for each process that ends before another one, and advice about the search
    for unused parameters.
    """
    given = os.environ.get(_LOG_LEVEL)
    os.environ[_LOG_LEVEL] = given or "ERROR"
    try:
        yield
    finally:
        if given is None:
            del os.environ[_LOG_LEVEL]


def _wait(processes: Sequence[Any]) -> tuple[int, int] | None:
    """Wait for all processes to end; once one has failed, the others have some seconds before they are killed.

    Returns:
        The number of the process that a signal ended, and the signal, if that was the first failure.
    """
    killed, until = None, float("inf")
    while running := [process for process in processes if process.exitcode is None]:
        left = None if until == float("inf") else max(0.0, until - time.monotonic())
        connection.wait([process.sentinel for process in running], left)
        codes = [process.exitcode or 0 for process in processes]
        if until == float("inf") and any(codes):
            until = time.monotonic() + 2 * grace(max(codes))
            killed = (codes.index(min(codes)), -min(codes)) if min(codes) < 0 else None
        if time.monotonic() >= until:
            for process in running:
                process.kill()
    return killed


@contextlib.contextmanager
def _forwarding(processes: Sequence[Any]) -> Iterator[None]:
    """Pass Ctrl-C and SIGTERM on to the processes, and wait for them."""

    def forward(number: int, frame: Any) -> None:
        for process in processes:
            if process.exitcode is None:
                os.kill(process.pid, PASSED_ON[signal.Signals(number)])

    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
        yield
        return
    before = {number: signal.signal(number, forward) for number in PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_killed(number: int, code: int) -> NoReturn:
    code = meaning(code)  # a process that is starting does not know the passed-on signal
    name = signal.Signals(code).name
    if code in PASSED_ON:
        raise SystemExit(128 + code)
    reason = " (the system sends it when memory is short)" if code == signal.SIGKILL else ""
    raise TrainingError(
        f"process {number} of this machine was ended by {name}{reason}: see the system's log, then use --resume"
    )


def _raise_first(failures: Sequence[tuple[Failure, UserError | None]], debug: bool) -> NoReturn:
    """Raise the failure of one of these processes, or else the one reported from another machine."""
    own, error = next((pair for pair in failures if pair[0].kind != "other"), (None, None))
    if own is not None:
        if debug or own.kind == "crash":
            sys.stderr.write(own.trace)
        raise error or SystemExit(own.code)
    text = next((failure.text for failure, _ in failures if failure.text), "")
    raise TrainingError(text or "a process of another machine failed: the output there says why")
