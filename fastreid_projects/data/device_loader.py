"""A DataLoader that replaces the host's DataLoaderX (data/data_utils.py:148-206)."""

from __future__ import annotations

import contextvars
import random
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from fastreid_projects import interrupts
from fastreid_projects.data.batches import numbered
from fastreid_projects.data.byte_images import ByteBatch, with_floats
from fastreid_projects.errors import UserError

# The device in the config that a loader builder was called with.
builders_device: contextvars.ContextVar[torch.device | None] = contextvars.ContextVar("device", default=None)


class DeviceLoader(DataLoader[Any]):
    """A DataLoader that copies its batches to a device; it replaces the host's DataLoaderX.

    On the CPU it is a plain DataLoader. On CUDA, memory is pinned, and the next batch is copied on its own stream while
    the current one is trained. Images of bytes are converted to floats on the device. This project's errors in a
    worker are raised here as one sentence, without the worker's traceback.

    Args:
        local_rank: index of the CUDA device if no other device is given.
        device: device of the batches; None takes the device of the config that the builder was called with, or else
            ``cuda:local_rank``, or the CPU without a CUDA device.
        kwargs: passed to DataLoader.
    """

    def __init__(self, local_rank: int = 0, *, device: torch.device | None = None, **kwargs: Any) -> None:
        chosen = device or builders_device.get()
        if chosen is None:
            chosen = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if chosen.type == "cuda" and chosen.index is None:
            chosen = torch.device("cuda", local_rank)
        kwargs["pin_memory"] = kwargs.get("pin_memory", True) and chosen.type == "cuda"
        kwargs.setdefault("worker_init_fn", start_worker)
        kwargs["batch_sampler"] = numbered(kwargs.get("batch_sampler"))
        super().__init__(**kwargs)
        self.device = chosen

    def __iter__(self) -> Any:
        batches = _Batches(super().__iter__)
        return CudaBatches(batches, self.device) if self.device.type == "cuda" else map(with_floats, batches)


def start_worker(worker_id: int) -> None:
    """Seed ``random`` and NumPy from PyTorch's seed, which the main process draws, and ignore interrupts.

    Ctrl-C in a terminal also reaches the workers, but the main process needs them until it has stopped.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    seed = torch.initial_seed()
    random.seed(seed)
    np.random.seed(seed % 2**32)


class _Batches:
    """Iterate over the batches, and shorten this project's errors with a worker's traceback to their last line.

    The workers start when the first batch is asked for: the host starts its iterator before it loads a checkpoint
    (engine/train_loop.py:226).
    """

    def __init__(self, start: Callable[[], Iterator[Any]]) -> None:
        self._start = start
        self._batches: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        interrupts.check()
        if self._batches is None:
            self._batches = self._start()
        try:
            return next(self._batches)
        except UserError as error:
            text = str(error).rstrip()
            if "Original Traceback" not in text:
                raise
            name = type(error).__name__ + ": "
            raise type(error)(text.splitlines()[-1].rpartition(name)[2]) from None


class CudaBatches:
    """Iterate over batches on a CUDA device, one batch ahead."""

    def __init__(self, batches: Iterator[Any], device: torch.device) -> None:
        self._batches = batches
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._ahead: Any = None
        self._started = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self._started:
            self._started = True
            self._load()
        if self._ahead is None:
            raise StopIteration
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        batch = self._ahead
        _each_tensor(batch, lambda tensor: tensor.record_stream(current))
        self._load()
        return batch

    def _load(self) -> None:
        batch = next(self._batches, None)
        with torch.cuda.stream(self._stream):
            moved = _each_tensor(batch, lambda tensor: tensor.to(self._device, non_blocking=True))
            self._ahead = with_floats(moved)


def _each_tensor(value: Any, function: Callable[[torch.Tensor], Any]) -> Any:
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: _each_tensor(item, function) for key, item in value.items()}
    if isinstance(value, ByteBatch):
        return value._replace(pixels=function(value.pixels), fill=function(value.fill))
    return value
