"""Ctrl-C and SIGTERM: a training stops where a checkpoint can be saved, everything else at once."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from fastreid_projects.command_line.pasteable import pasteable
from fastreid_projects.errors import InterruptedRunError
from fastreid_projects.files import remove_unfinished

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# What a process passes on to those that it has started. Others than it got, which may have reached them as well (from a
# terminal, or sent to the whole group): that is one request, not two.
PASSED_ON = {signal.SIGINT: signal.SIGUSR1, signal.SIGTERM: signal.SIGUSR2}
_MEANING = {passed: signum for signum, passed in PASSED_ON.items()}
_NOTICE = b"\nStopping after this iteration or ranking, with a checkpoint. Once more ends at once.\n"


class StopNow(KeyboardInterrupt):
    """A signal, where what is being done can be given up."""


class _Signals:
    """What has been asked for, and whether it has to wait for the end of an iteration."""

    def __init__(self) -> None:
        self.waits = self.evaluates = False
        self.forget()

    def forget(self) -> None:
        self.requested = self.received = self.passed_on = 0

    def handle(self, signum: int, frame: FrameType | None) -> None:
        known, self.requested = bool(self.requested), meaning(signum)
        if signum in _MEANING:
            self.passed_on += 1
        else:
            self.received += 1
        if max(self.received, self.passed_on) > 1:
            remove_unfinished()
            os._exit(128 + self.requested)
        if known:
            return
        if not self.waits:
            raise StopNow
        with contextlib.suppress(OSError):
            os.write(2, _NOTICE)


_signals = _Signals()


def meaning(signum: int) -> int:
    """The signal that a signal stands for: what was passed on, for what it was passed on as."""
    return _MEANING.get(signal.Signals(signum), signum)


@contextlib.contextmanager
def heeded(*, resumes: bool = True) -> Iterator[None]:
    """Answer signals as this module says until the end of the block; a second one ends the process at once.

    Args:
        resumes: ``--resume`` goes on with what is interrupted.

    Raises:
        InterruptedRunError: a signal outside of a training.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _signals.forget()
    before = {signum: signal.signal(signum, _signals.handle) for signum in (*SIGNALS, *_MEANING)}
    unraisable, sys.unraisablehook = sys.unraisablehook, _without_stop(sys.unraisablehook)
    try:
        yield
    except StopNow:
        if not resumes:
            raise InterruptedRunError("Interrupted", _signals.requested) from None
        raise interrupted("Interrupted") from None
    finally:
        sys.unraisablehook = unraisable
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _without_stop(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Say nothing of a StopNow where Python cannot raise it, as while an object is deleted: it is asked for later."""

    def quiet(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, StopNow):
            hook(unraisable)

    return quiet


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Let signals wait until :func:`requested` is asked for."""
    _signals.waits = True
    try:
        yield
    finally:
        _signals.waits = False


@contextlib.contextmanager
def evaluating() -> Iterator[None]:
    """In this block, which can be given up, :func:`check` looks for signals."""
    _signals.evaluates = True
    try:
        yield
    finally:
        _signals.evaluates = False


def check() -> None:
    """Raise StopNow in an evaluation that a signal has ended; to be called before each of its batches."""
    if _signals.evaluates and _signals.requested:
        raise StopNow


def requested() -> bool:
    """Whether a signal has come."""
    return bool(_signals.requested)


def interrupted(what: str) -> InterruptedRunError:
    """The error that ends a run.

    Args:
        what: happened, without a full stop.
    """
    return InterruptedRunError(f"{what}. Go on with: {resume_command()}", _signals.requested or signal.SIGINT)


def resume_command() -> str:
    """This process's command line with ``--resume``; of several machines' torchrun, whose own is unknown, the end."""
    words = [word for word in sys.argv if word != "--resume"]
    options = 2 if len(words) > 1 and re.fullmatch(r"[a-z][a-z-]*", words[1]) else 1  # behind a subcommand
    command = pasteable([*words[:options], "--resume", *words[options:]])
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return command
    command = command.removeprefix("python ")
    if os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        return f"the same torchrun command on every machine, ending in {command}"
    return f"torchrun --standalone --nproc_per_node {os.environ.get('LOCAL_WORLD_SIZE', '1')} {command}"
