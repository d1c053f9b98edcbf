"""Ctrl-C and SIGTERM: training stops where it can save a checkpoint, everything else stops at once."""

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
# The signals that a process passes on to the processes that it has started. They differ from the received signals,
# which may have reached those processes too (from a terminal, or sent to the whole group): one request counts once.
PASSED_ON = {signal.SIGINT: signal.SIGUSR1, signal.SIGTERM: signal.SIGUSR2}
_MEANING = {passed: signum for signum, passed in PASSED_ON.items()}
_NOTICE = b"\nStopping after this iteration or ranking, with a checkpoint. Once more ends at once.\n"


class StopNow(KeyboardInterrupt):
    """Raised by a signal during work that can be abandoned."""


class _Signals:
    """The signals received so far, and whether they have to wait for the end of an iteration."""

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
    """Return the original signal of one that was passed on; any other signal is returned as it is."""
    return _MEANING.get(signal.Signals(signum), signum)


@contextlib.contextmanager
def heeded(*, resumes: bool = True) -> Iterator[None]:
    """Handle signals as this module says until the end of the block; a second signal ends the process at once.

    Args:
        resumes: whether ``--resume`` can continue what is interrupted.

    Raises:
        InterruptedRunError: a signal came while nothing was being trained.
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
    """Ignore a StopNow where Python cannot raise it, as in a destructor: the request is looked up again later."""

    def quiet(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, StopNow):
            hook(unraisable)

    return quiet


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Let signals wait until :func:`requested` is called."""
    _signals.waits = True
    try:
        yield
    finally:
        _signals.waits = False


@contextlib.contextmanager
def evaluating() -> Iterator[None]:
    """Let :func:`check` look for signals in this block, which can be abandoned."""
    _signals.evaluates = True
    try:
        yield
    finally:
        _signals.evaluates = False


def check() -> None:
    """Raise StopNow in an evaluation if a signal has come; to be called before each batch."""
    if _signals.evaluates and _signals.requested:
        raise StopNow


def requested() -> bool:
    """Return whether a signal has come."""
    return bool(_signals.requested)


def interrupted(what: str) -> InterruptedRunError:
    """Return the error that ends a run.

    Args:
        what: what happened, without a full stop.
    """
    return InterruptedRunError(
        f"{what}. Resume with: {resume_command()}", _signals.requested or signal.SIGINT
    )


def resume_command() -> str:
    """Return the command that resumes this run: the present command line with ``--resume``.

    With torchrun on several machines, whose command line is unknown, only its last part is given.
    """
    words = [word for word in sys.argv if word != "--resume"]
    options = 2 if len(words) > 1 and re.fullmatch(r"[a-z][a-z-]*", words[1]) else 1  # after a subcommand
    command = pasteable([*words[:options], "--resume", *words[options:]])
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return command
    command = command.removeprefix("python ")
    if os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        return f"the same torchrun command on every machine, ending in {command}"
    return f"torchrun --standalone --nproc_per_node {os.environ.get('LOCAL_WORLD_SIZE', '1')} {command}"
