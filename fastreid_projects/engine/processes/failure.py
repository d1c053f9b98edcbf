"""How the processes of a run tell each other that one of them has failed.

Before the first process to fail ends, it writes the reason on a board in the store through which the processes met.
The errors that the others then run into (a closed connection, or with NCCL none at all) are only consequences, so the
others end without a message. A thread in each process watches the board and ends the process if necessary.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from fastreid_projects.errors import UserError

PERIOD = 0.5  # seconds between two looks at the board
GRACE, PATIENCE = 4.0, 60.0  # seconds for a process to end by itself once another one has failed
_FAILURE, _SEEN = "failure", "failure seen"
_LONGEST = 8000  # characters that are passed on
_SHOWN = logging.getLogger("fastreid.engine.train_loop")


@dataclass(frozen=True)
class Failure:
    """The reason why a process ended.

    Attributes:
        kind: ``"sentence"`` (an error for the user), ``"exit"``, ``"crash"`` or ``"other"`` (another process failed).
        text: the message; "" if there is none.
        code: the exit code.
        rank: the rank of the process; -1 if the store has disappeared, together with whatever was written there.
        trace: the traceback.
    """

    kind: str
    text: str
    code: int
    rank: int
    trace: str = ""

    @classmethod
    def of(cls, error: BaseException, rank: int) -> Failure:
        """Describe an exception."""
        if isinstance(error, KeyboardInterrupt):
            return cls("exit", "", 128 + signal.SIGINT, rank)
        if isinstance(error, SystemExit):
            return cls("exit", "", error.code if isinstance(error.code, int) else 1, rank)
        trace = "".join(traceback.format_exception(error))[-_LONGEST:]
        if isinstance(error, UserError):
            return cls("sentence", str(error), getattr(error, "exit_code", 2), rank, trace)
        return cls("crash", f"{type(error).__name__}: {error}"[:_LONGEST], 1, rank, trace)

    def seen_by_another(self) -> Failure:
        """Return this failure as another process reports it when it ends because of it."""
        return Failure("other", self.text, 1, self.rank)


GONE = Failure("other", "", 1, -1)


class OtherProcessFailed(Exception):
    """Raised in a process that ends because another one failed; carries that failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Board:
    """The place where the first failure of a run is written, and the thread that watches it.

    Args:
        store: a store of ``torch.distributed`` that all processes share.
        rank: the rank of this process; rank 0 may host the store and leaves last.
        size: the number of processes.
        end: called by the thread with the first failure if this process does not end by itself.
    """

    def __init__(self, store: Any, rank: int, size: int, end: Callable[[Failure], None]) -> None:
        self._store, self._rank, self._size, self._end = store, rank, size, end
        self._left = threading.Event()
        self._known: Failure | None = None  # another process's; the store may be gone when it is needed
        self._leaving = False
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        _SHOWN.addFilter(self._without_echo)

    def first(self, error: BaseException) -> Failure:
        """Write an error on the board if it is empty, and return what it holds; kind "other" if that is not ours."""
        own = Failure.of(error, self._rank)
        if self._known is not None:
            return self._known.seen_by_another()
        try:
            found = self._store.compare_set(_FAILURE, "", json.dumps(asdict(own)))
        except RuntimeError:  # the store has disappeared, and the main process with it
            return GONE
        first = Failure(**json.loads(found))
        return first if first.rank == self._rank else first.seen_by_another()

    def leaving(self) -> None:
        """Note that the work is done: from now on, losing the main process and the store is not a failure."""
        self._leaving = True

    def close(self, failed: bool) -> None:
        """Stop watching; after a failure, the main process stays until the others know of it."""
        self._left.set()
        _SHOWN.removeFilter(self._without_echo)
        if failed and self._rank == 0:
            self._wait_for_others()
        elif failed and self._known is None:
            self._tell(_SEEN)
        self._thread.join(timeout=GRACE)

    def _wait_for_others(self) -> None:
        until = time.monotonic() + 2 * PERIOD + 1
        while self._tell(_SEEN, 0) < self._size - 1 and time.monotonic() < until:
            time.sleep(PERIOD / 5)

    def _tell(self, key: str, amount: int = 1) -> int:
        try:
            return int(self._store.add(key, amount))
        except RuntimeError:
            return self._size

    def _found(self) -> Failure | None:
        """Return the failure on the board, or ``GONE`` if the store has disappeared and that is a failure."""
        try:
            if not self._store.check([_FAILURE]):
                return None
            return Failure(**json.loads(self._store.get(_FAILURE)))
        except RuntimeError:
            return None if self._leaving else GONE

    def _watch(self) -> None:
        while not self._left.wait(PERIOD):
            failure = self._found()
            if failure is None or failure.rank == self._rank:
                continue
            self._known = failure
            if failure is not GONE:
                self._tell(_SEEN)
            if not self._left.wait(grace(failure.code)):
                self._end(failure.seen_by_another())
            return

    def _without_echo(self, record: logging.LogRecord) -> bool:
        """Log one line without a traceback when training stops because of another process (train_loop.py:143)."""
        failure = (self._known or self._found()) if record.exc_info else None
        if failure is not None and failure.rank != self._rank:
            record.msg, record.args, record.exc_info = "Training stopped: another process failed", (), None
        return True


def grace(code: int) -> float:
    """Return how many seconds the others get to end.

    They get more if a signal ended the process (a code above 128), because they may be saving a checkpoint.
    """
    return PATIENCE if code > 128 else GRACE


def end_now(code: int) -> None:
    """End this process even if its main thread waits forever."""
    logging.shutdown()
    os._exit(code)
