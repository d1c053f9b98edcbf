"""Processes that draw, started from any script."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import types
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import cv2


def drawing_pool(workers: int) -> ProcessPoolExecutor:
    """Return processes that use one thread each; started afresh, as a fork of a process with threads may hang."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), cv2.setNumThreads, (1,))


@contextlib.contextmanager
def without_main_script() -> Iterator[None]:
    """Let the processes that are started inside not import the script that runs.

    A spawned process imports it for what was defined there; a script without ``if __name__ == "__main__"`` would then
    run once more in each of them, draw as well, and all would wait for each other.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
