"""Make masks of body parts, in this process or in several that end with it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any

import cv2
import numpy as np
import torch

from fastreid_projects.data.images import read_image
from fastreid_projects.errors import DataError
from fastreid_projects.files import remove_unfinished
from fastreid_projects.workers import WorkerContext

from ..data.part_masks import mask_path, write_mask
from ..providers.base import PROVIDERS, Provider, build_provider


def make_masks(
    chunks: Sequence[list[str]], provider: str, options: Mapping[str, Any], folder: str, workers: int
) -> Iterator[int]:
    """Write the masks of chunks of images; an error or a signal ends all processes at once.

    Args:
        chunks: the paths of images.
        provider: a name of ``PROVIDERS``.
        options: the options of the provider.
        folder: see ``mask_path``.
        workers: the number of processes; 1 for only this one.

    Yields:
        The number of masks written since the last time.

    Raises:
        ConfigError: something that the provider needs is missing.
        WeightsError: a model of the provider is missing.
        DataError: an image cannot be read, a mask cannot be written, or a process was ended from outside.
    """
    if not chunks:
        return
    built = build_provider(provider, options)  # even with several processes, so that its errors come up here
    if workers == 1:
        for chunk in chunks:
            yield _make(built, chunk, folder)
        return
    del built
    try:
        with _pool(workers, provider, options) as pool:
            for future in _submit(pool, chunks, folder):
                yield future.result()
    except BrokenProcessPool as error:
        raise DataError(
            f"one of {workers} processes was ended from outside, perhaps because memory was short; the masks made so "
            f"far stay: run again, with --workers {workers // 2} or less"
        ) from error


@contextlib.contextmanager
def _pool(workers: int, provider: str, options: Mapping[str, Any]) -> Iterator[ProcessPoolExecutor]:
    """Start processes that end as soon as this one leaves the block with an error, or disappears."""
    context = WorkerContext()
    lifeline, held = context.Pipe(duplex=False)
    arguments = (provider, PROVIDERS[provider], dict(options), lifeline)
    pool = ProcessPoolExecutor(workers, context, _start, arguments)
    try:
        yield pool
        pool.shutdown()
    finally:
        held.close()
        with contextlib.suppress(Exception):
            pool.shutdown(cancel_futures=True)
        lifeline.close()


def _submit(pool: ProcessPoolExecutor, chunks: Sequence[list[str]], folder: str) -> list[Future[int]]:
    """Start the processes with Ctrl-C blocked: a terminal sends it to all of them, but only this one handles it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return [pool.submit(_make_here, chunk, folder) for chunk in chunks]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_built: list[Provider] = []


def _start(provider: str, place: str, options: Mapping[str, Any], lifeline: Connection) -> None:
    """Prepare a worker: limit its threads, watch the lifeline, build the provider, which a script may have added."""
    PROVIDERS[provider] = place
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _built.append(build_provider(provider, options))


def _end_with(lifeline: Connection) -> None:
    """End this process once the other end of the pipe is closed, which also happens when that process disappears."""
    with contextlib.suppress(OSError):
        lifeline.poll(None)
    remove_unfinished()
    os._exit(1)


def _make_here(paths: list[str], folder: str) -> int:
    return _make(_built[0], paths, folder)


def _make(provider: Provider, paths: list[str], folder: str) -> int:
    for path in paths:
        image = np.array(read_image(path))
        parts = provider.find(image, path).union()
        if parts.shape != image.shape[:2]:
            raise DataError(
                f"the parts found for {path} are {_size(parts)} pixels and the image is {_size(image)}: was it "
                "replaced? Use a provider that looks at the image, e.g. blazepose"
            )
        write_mask(mask_path(path, folder), parts)
    return len(paths)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
