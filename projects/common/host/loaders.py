"""Mends of the host's data loaders (data/build.py, data/data_utils.py:151-206)."""

from __future__ import annotations

import contextvars
import functools
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from fastreid.config.config import _called_with_cfg
from fastreid.data import build as host_build
from fastreid.data import data_utils
from fastreid.data.transforms import build_transforms
from fastreid.utils import comm
from torch.utils.data import DataLoader

from fastreid_projects.errors import ConfigError, DataError, UserError
from fastreid_projects.host.datasets import build_dataset, subset
from fastreid_projects.host.device import resolve_device
from fastreid_projects.host.imports import rebind

logger = logging.getLogger("fastreid.projects.host.loaders")

_host_train_loader = host_build.build_reid_train_loader
_host_test_loader = host_build.build_reid_test_loader
_device: contextvars.ContextVar[torch.device | None] = contextvars.ContextVar("device", default=None)


def mend_loaders() -> None:
    """Replace the loader class, both builders and the collator.

    * data_utils.py:127, 151, 190 need CUDA whatever MODEL.DEVICE says; a background thread that meets a
      broken image dies and leaves the training waiting for ever.
    * build.py:124 gives every test loader 4 workers; build.py:27 reads FASTREID_DATASETS at import.
    * build.py:168-187 collates NumPy values, lists and None to None.
    """
    rebind(data_utils.DataLoaderX, DeviceLoader)
    rebind(_host_train_loader, build_reid_train_loader)
    rebind(_host_test_loader, build_reid_test_loader)
    rebind(host_build.fast_batch_collator, fast_batch_collator)


def _with_device(builder: Callable[..., Any]) -> Callable[..., Any]:
    """Let the loaders that a builder makes know the device of its config."""

    @functools.wraps(builder)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        cfg = kwargs.get("cfg", args[0] if args else None)
        if not hasattr(cfg, "MODEL"):
            return builder(*args, **kwargs)
        token = _device.set(torch.device(resolve_device(cfg).MODEL.DEVICE))
        try:
            return builder(*args, **kwargs)
        finally:
            _device.reset(token)

    return wrapped


@_with_device
def build_reid_train_loader(*args: Any, **kwargs: Any) -> DeviceLoader:
    """Build the training loader, called with a config or with explicit values, as the host's.

    Args:
        args: ``cfg`` or ``train_set``.
        kwargs: with a config: train_set, sampler, transforms, num_workers, and what the datasets take;
            without: train_set, sampler, total_batch_size, num_workers.

    Raises:
        ConfigError: a batch that is larger than the training set, or not divisible by the number of
        processes. DataError: no training images.
    """
    if not _called_with_cfg(*args, **kwargs):
        return _host_train_loader(*args, **kwargs)
    cfg = args[0] if args else kwargs.pop("cfg")
    options = {key: kwargs.pop(key) for key in ("sampler", "transforms", "num_workers") if key in kwargs}
    train_set = kwargs.pop("train_set", None)
    if train_set is None:
        train_set = _train_set(cfg, options.get("transforms"), **kwargs)
    _check_batch(cfg, train_set)
    workers = options.pop("num_workers", cfg.DATALOADER.NUM_WORKERS)
    explicit = host_build._train_loader_from_config(cfg, train_set=train_set, **options)
    return _host_train_loader(**{**explicit, "num_workers": workers})


def _train_set(cfg: Any, transforms: Any, **kwargs: Any) -> Any:
    items: list[Any] = []
    for name in cfg.DATASETS.NAMES:
        data = build_dataset(name, **kwargs)
        items.extend(subset(data, name, "train"))
        if comm.is_main_process():
            data.show_train()
    return host_build.CommDataset(items, transforms or build_transforms(cfg, is_train=True), relabel=True)


def _check_batch(cfg: Any, train_set: Any) -> None:
    batch, world = cfg.SOLVER.IMS_PER_BATCH, comm.get_world_size()
    if len(train_set) == 0:
        raise DataError(f"The training set ({', '.join(cfg.DATASETS.NAMES)}) has no images.")
    if batch % world:
        raise ConfigError(f"SOLVER.IMS_PER_BATCH {batch} is not divisible by the {world} processes.")
    if len(train_set) < batch:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH {batch} is larger than the training set of {len(train_set)} images: lower "
            "it."
        )


@_with_device
def build_reid_test_loader(*args: Any, **kwargs: Any) -> tuple[DeviceLoader, int]:
    """Build a test loader over query and gallery, called with a config or with explicit values, as the
    host's.

    Args:
        args: ``cfg`` or test_set, test_batch_size, num_query.
        kwargs: with a config: dataset_name, or test_set and num_query; transforms, num_workers
            (default: DATALOADER.NUM_WORKERS), and what the dataset takes.

    Returns:
        the loader and the number of query images, which come first.

    Raises:
        DataError: no query or no gallery images.
    """
    if not _called_with_cfg(*args, **kwargs):
        return _host_test_loader(*args, **kwargs)
    cfg = args[0] if args else kwargs.pop("cfg")
    test_set, num_query = kwargs.pop("test_set", None), kwargs.pop("num_query", 0)
    transforms, workers = (
        kwargs.pop("transforms", None),
        kwargs.pop("num_workers", cfg.DATALOADER.NUM_WORKERS),
    )
    if test_set is None:
        name = kwargs.pop("dataset_name")
        data = build_dataset(name, **kwargs)
        query, gallery = subset(data, name, "query"), subset(data, name, "gallery")
        if comm.is_main_process():
            data.show_test()
        transforms = transforms or build_transforms(cfg, is_train=False)
        test_set, num_query = host_build.CommDataset(query + gallery, transforms, relabel=False), len(query)
    if not 0 < num_query < len(test_set):
        raise DataError(
            f"A test set needs query and gallery images, not {num_query} of {len(test_set)} as queries."
        )
    return _host_test_loader(test_set, cfg.TEST.IMS_PER_BATCH, num_query, num_workers=workers)


class DeviceLoader(DataLoader):
    """A DataLoader that brings its batches to a device; stands in for the host's DataLoaderX.

    On the CPU it is a plain DataLoader. On CUDA memory is pinned, and while a batch is trained the next one
    is copied on a stream of its own. What goes wrong in a worker is raised here, as the one sentence that it
    is.

    Args:
        local_rank: the CUDA device where nothing else says one.
        device: where batches go; None takes the device of the config that the builder was called with, and
        without
            one ``cuda:local_rank``, or the CPU if there is no CUDA device.
        kwargs: as of DataLoader.
    """

    def __init__(self, local_rank: int = 0, *, device: torch.device | None = None, **kwargs: Any) -> None:
        chosen = device or _device.get()
        if chosen is None:
            chosen = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if chosen.type == "cuda" and chosen.index is None:
            chosen = torch.device("cuda", local_rank)
        kwargs["pin_memory"] = kwargs.get("pin_memory", True) and chosen.type == "cuda"
        kwargs.setdefault("worker_init_fn", seed_worker)
        super().__init__(**kwargs)
        self.device = chosen

    def __iter__(self) -> Any:
        batches = _one_sentence(super().__iter__())
        return CudaBatches(batches, self.device) if self.device.type == "cuda" else batches


def seed_worker(worker_id: int) -> None:
    """Seed ``random`` and NumPy of a worker from PyTorch's seed, drawn in the main process."""
    seed = torch.initial_seed()
    random.seed(seed)
    np.random.seed(seed % 2**32)


class _one_sentence:
    """Iterate; shorten an error of ours that comes with a worker's traceback to its last line."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
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
            self._ahead = _each_tensor(batch, lambda tensor: tensor.to(self._device, non_blocking=True))


def _each_tensor(value: Any, function: Callable[[torch.Tensor], Any]) -> Any:
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: _each_tensor(item, function) for key, item in value.items()}
    return value


def fast_batch_collator(batched_inputs: list[Any], field: str = "") -> Any:
    """Collate samples to a batch: tensors are stacked, numbers become tensors, strings a list, mappings a
    dict.

    Args:
        batched_inputs: the samples of a batch.
        field: the name of what is collated, for errors.

    Raises:
        DataError: a field has no value, another shape than in the first sample, or a type that cannot be
        collated.
    """
    first = batched_inputs[0]
    if isinstance(first, Mapping):
        return {
            key: fast_batch_collator(
                [_get(item, key) for item in batched_inputs], f"{field}.{key}".lstrip(".")
            )
            for key in first
        }
    if isinstance(first, str | bytes):
        return batched_inputs
    try:
        if isinstance(first, np.ndarray):
            return torch.stack([torch.as_tensor(item) for item in batched_inputs])
        if isinstance(first, torch.Tensor):
            return torch.stack(batched_inputs)
        if isinstance(first, np.generic):
            return torch.from_numpy(np.array(batched_inputs))
        if isinstance(first, bool | int | float):
            return torch.tensor(batched_inputs, dtype=torch.float64 if isinstance(first, float) else None)
    except (TypeError, ValueError, RuntimeError) as error:
        _refuse(field, f"cannot be collated ({' '.join(str(error).split())})", error)
    return _refuse(field, f"is of type {type(first).__name__}")


def _get(sample: Any, key: str) -> Any:
    try:
        return sample[key]
    except (KeyError, TypeError):
        return _refuse(key, "is missing in some samples")


def _refuse(field: str, problem: str, cause: Exception | None = None) -> NoReturn:
    raise DataError(
        f"Field '{field or 'sample'}' of the samples {problem}: "
        "let the dataset return tensors or arrays of one shape, numbers or strings."
    ) from cause
