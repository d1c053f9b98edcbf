"""Worker processes that never run the user's script again.

A spawned process of ``multiprocessing`` imports the main module. If that is a script without
``if __name__ == "__main__"``, each worker would run it again from its first line. Our workers do not need it.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

_lock = threading.Lock()


class Worker(SpawnProcess):
    """A spawned process without the main module, which finds only what can be imported by name."""

    def start(self) -> None:
        """Start the process."""
        with _main_hidden():
            super().start()


class WorkerContext(SpawnContext):
    """A context for pools of these processes: ``ProcessPoolExecutor(2, WorkerContext())``."""

    Process = Worker


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    """Hide the attributes by which ``multiprocessing.spawn.get_preparation_data`` finds the main module."""
    main: Any = sys.modules["__main__"]
    names = ("__file__", "__spec__")
    with _lock:
        before = {name: vars(main)[name] for name in names if name in vars(main)}
        main.__file__ = main.__spec__ = None
        try:
            yield
        finally:
            for name in names:
                delattr(main, name)
            vars(main).update(before)
