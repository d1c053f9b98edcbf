"""Ctrl-C and SIGTERM: a training stops where a checkpoint can be saved, everything else at once."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from fastreid_projects.errors import InterruptedRunError
from fastreid_projects.files import remove_unfinished

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICE = b"\nStopping after this iteration, with a checkpoint. Once more ends at once.\n"


class StopNow(KeyboardInterrupt):
    """A signal, where what is being done can be given up."""


class _Signals:
    """What has been asked for, and whether it has to wait for the end of an iteration."""

    def __init__(self) -> None:
        self.requested = 0
        self.waits = False

    def handle(self, signum: int, frame: FrameType | None) -> None:
        again, self.requested = bool(self.requested), signum
        if again:
            remove_unfinished()
            os._exit(128 + signum)
        if not self.waits:
            raise StopNow
        with contextlib.suppress(OSError):
            os.write(2, _NOTICE)


_signals = _Signals()


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """Answer signals as this module says until the end of the block; a second one ends the process at once.

    Raises:
        InterruptedRunError: a signal outside of a training.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _signals.requested = 0
    before = {signum: signal.signal(signum, _signals.handle) for signum in SIGNALS}
    try:
        yield
    except StopNow:
        raise interrupted("Interrupted") from None
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def waiting(waits: bool = True) -> Iterator[None]:
    """Let signals wait until :func:`requested` is asked for, or (False) raise StopNow at once."""
    before, _signals.waits = _signals.waits, waits
    try:
        if not waits and _signals.requested:
            raise StopNow
        yield
    finally:
        _signals.waits = before


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
    """This process's command line with ``--resume``."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    start = ["python"]
    if "TORCHELASTIC_RUN_ID" in os.environ:
        start = ["torchrun", "--nproc_per_node", os.environ.get("LOCAL_WORLD_SIZE", "1")]
    return shlex.join([*start, sys.argv[0], "--resume", *words])
