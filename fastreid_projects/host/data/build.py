"""Patches of the host's data loaders (data/build.py, data/data_utils.py:151-206)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from fastreid.config.config import _called_with_cfg
from fastreid.data import build as host_build
from fastreid.data import data_utils
from fastreid.data.transforms import build_transforms
from fastreid.utils import comm

from fastreid_projects.config.ready import on_this_machine
from fastreid_projects.contract import junk_of
from fastreid_projects.data import set_sampler
from fastreid_projects.data.collate import fast_batch_collator
from fastreid_projects.data.datasets import open_dataset, subset, training_items
from fastreid_projects.data.device_loader import DeviceLoader, builders_device
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.host_import import rebind

logger = logging.getLogger("fastreid.projects.host.loaders")

_host_train_loader = host_build.build_reid_train_loader
_host_test_loader = host_build.build_reid_test_loader


def patch_loaders() -> None:
    """Replace the loader class, both builders and the collator.

    * data_utils.py:127, 151, 190 need CUDA whatever MODEL.DEVICE says; a background thread that meets a
      broken image dies and leaves training waiting forever.
    * build.py:124 gives every test loader 4 workers; build.py:27 reads FASTREID_DATASETS at import.
    * build.py:168-187 collates NumPy values, lists and None to None.
    """
    rebind(data_utils.DataLoaderX, DeviceLoader)
    rebind(_host_train_loader, build_reid_train_loader)
    rebind(_host_test_loader, build_reid_test_loader)
    rebind(host_build.fast_batch_collator, fast_batch_collator)


def _with_device(builder: Callable[..., Any]) -> Callable[..., Any]:
    """Tell the loaders that a builder makes the device of its config."""

    @functools.wraps(builder)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        cfg = kwargs.get("cfg", args[0] if args else None)
        if not hasattr(cfg, "MODEL"):
            return builder(*args, **kwargs)
        token = builders_device.set(torch.device(on_this_machine(cfg).MODEL.DEVICE))
        try:
            return builder(*args, **kwargs)
        finally:
            builders_device.reset(token)

    return wrapped


@_with_device
def build_reid_train_loader(*args: Any, **kwargs: Any) -> DeviceLoader:
    """Build the training loader from a config or from explicit values, as the host does.

    Args:
        args: ``cfg`` or ``train_set``.
        kwargs: with a config, train_set, sampler, transforms, num_workers and the arguments of the datasets;
            without one, train_set, sampler, total_batch_size and num_workers.

    Raises:
        ConfigError: the batch is larger than the training set, or not divisible by the number of processes.
        DataError: there are no training images.
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
    if options.get("sampler") is None and cfg.DATALOADER.SAMPLER_TRAIN == set_sampler.NAME:
        options["sampler"] = _set_sampler(cfg, train_set)
    explicit = host_build._train_loader_from_config(cfg, train_set=train_set, **options)
    return _host_train_loader(**{**explicit, "num_workers": workers})


def _train_set(cfg: Any, transforms: Any, **kwargs: Any) -> Any:
    items: list[Any] = []
    for name in cfg.DATASETS.NAMES:
        data = open_dataset(cfg, name, **kwargs)
        items.extend(training_items(cfg, data, name))
        if comm.is_main_process():
            data.show_train()
    transforms = transforms or _byte_transforms(cfg, is_train=True)
    return host_build.CommDataset(items, transforms, relabel=True)


def _byte_transforms(cfg: Any, *, is_train: bool) -> Any:
    # Not above: it imports the host, and so this patch.
    from fastreid_projects.data.byte_transforms import as_bytes

    return as_bytes(build_transforms(cfg, is_train=is_train), exact=not is_train)


def _set_sampler(cfg: Any, train_set: Any) -> set_sampler.SetSampler:
    """Return the sampler that weighs the sets of DATASETS.NAMES; the host's (triplet_sampler.py:185) never works."""
    items = train_set.img_items
    return set_sampler.SetSampler(
        items,
        set_sampler.sets_of(items, cfg.DATASETS.NAMES),
        cfg.SOLVER.IMS_PER_BATCH // comm.get_world_size(),
        cfg.DATALOADER.NUM_INSTANCE,
        cfg.DATALOADER.SET_WEIGHT,
    )


def _check_batch(cfg: Any, train_set: Any) -> None:
    batch, world = cfg.SOLVER.IMS_PER_BATCH, comm.get_world_size()
    if len(train_set) == 0:
        raise DataError(f"The training set ({', '.join(cfg.DATASETS.NAMES)}) has no images.")
    if len(getattr(train_set, "pids", (1, 2))) < 2:
        raise DataError(
            f"The training set ({', '.join(cfg.DATASETS.NAMES)}) has images of only one identity, but a model learns "
            "to tell identities apart: add images of others."
        )
    if batch % world:
        raise ConfigError(f"SOLVER.IMS_PER_BATCH {batch} is not divisible by the {world} processes.")
    if len(train_set) < batch:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH {batch} is larger than the training set of {len(train_set)} images: lower "
            "it."
        )


@_with_device
def build_reid_test_loader(*args: Any, **kwargs: Any) -> tuple[DeviceLoader, int]:
    """Build a test loader over query and gallery from a config or from explicit values, as the host does.

    Args:
        args: ``cfg`` or test_set, test_batch_size, num_query.
        kwargs: with a config, dataset_name, or test_set and num_query; transforms, num_workers
            (default: DATALOADER.NUM_WORKERS), and the arguments of the dataset.

    Returns:
        The loader and the number of query images, which come first.

    A test set may lack a gallery, or even queries: the evaluator says whether it can be evaluated.

    Raises:
        DataError: a dataset has no query images.
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
        data = open_dataset(cfg, name, **kwargs)
        query, gallery = subset(data, name, "query"), list(data.gallery)
        if comm.is_main_process():
            data.show_test()
        transforms = transforms or _byte_transforms(cfg, is_train=False)
        test_set, num_query = host_build.CommDataset(query + gallery, transforms, relabel=False), len(query)
        test_set.junk = junk_of(data)
    return _host_test_loader(test_set, cfg.TEST.IMS_PER_BATCH, num_query, num_workers=workers)
