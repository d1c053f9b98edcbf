"""Mends of the host's training samplers (data/samplers/*.py), which loop for ever on bad input."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
from fastreid.data.samplers import data_sampler, imbalance_sampler, triplet_sampler
from fastreid.utils import comm

from fastreid_projects.errors import ConfigError, DataError


def mend_samplers() -> None:
    """Check the arguments of all samplers before they sample, and give each its own random numbers.

    All samplers seed NumPy's global generator when their iteration starts (data_sampler.py:50,
    triplet_sampler.py:77, 235, imbalance_sampler.py:64) and draw from it lazily. Whatever else draws from it
    between, as augmentation without workers or an evaluation on the main process, would let the processes of a
    training draw different orders, and see some images twice and others not.
    """
    for sampler in (
        data_sampler.TrainingSampler,
        imbalance_sampler.ImbalancedDatasetSampler,
        triplet_sampler.NaiveIdentitySampler,
        triplet_sampler.BalancedIdentitySampler,
    ):
        sampler._infinite_indices = _own_numbers(sampler._infinite_indices)
    for identity_sampler in (triplet_sampler.NaiveIdentitySampler, triplet_sampler.BalancedIdentitySampler):
        identity_sampler.__init__ = _checked(identity_sampler.__init__)
    triplet_sampler.SetReWeightSampler.__init__ = refuse_set_reweight
    data_sampler.TrainingSampler.__init__ = _not_empty(data_sampler.TrainingSampler.__init__)
    imbalance_sampler.ImbalancedDatasetSampler.__init__ = _not_empty(
        imbalance_sampler.ImbalancedDatasetSampler.__init__
    )


def _own_numbers(indices: Callable[[Any], Iterator[int]]) -> Callable[[Any], Iterator[int]]:
    """Keep a sampler's use of NumPy's global generator apart from everybody else's."""

    @functools.wraps(indices)
    def wrapped(self: Any) -> Iterator[int]:
        drawn, own = indices(self), np.random.get_state()
        while True:
            others = np.random.get_state()
            np.random.set_state(own)
            try:
                index = next(drawn)
                own = np.random.get_state()
            finally:
                np.random.set_state(others)
            yield index

    return wrapped


def check_identities(items: Sequence[Any], mini_batch_size: int, num_instances: int) -> None:
    """Refuse what an identity sampler never comes back from.

    Args:
        items: the training images, (path, pid, ...).
        mini_batch_size: images per batch and process.
        num_instances: images per identity in a batch.

    Raises:
        ConfigError: the batch is no multiple of ``num_instances``, or needs more identities than there are.
        DataError: no images.
    """
    if not items:
        raise DataError("The training set has no images to sample.")
    world = comm.get_world_size()
    if num_instances < 1 or mini_batch_size < num_instances or mini_batch_size % num_instances:
        raise ConfigError(
            f"The batch of {mini_batch_size} images per process (SOLVER.IMS_PER_BATCH over {world} "
            f"processes) is no multiple of DATALOADER.NUM_INSTANCE {num_instances}: change one of them."
        )
    needed = mini_batch_size // num_instances * world
    found = len({item[1] for item in items})
    if found < needed:
        raise ConfigError(
            f"A batch needs {needed} identities (SOLVER.IMS_PER_BATCH {mini_batch_size * world} / "
            f"DATALOADER.NUM_INSTANCE {num_instances}) but the training set has {found}: lower "
            "SOLVER.IMS_PER_BATCH or raise DATALOADER.NUM_INSTANCE."
        )


def _checked(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def wrapped(
        self: Any,
        data_source: Sequence[Any],
        mini_batch_size: int,
        num_instances: int,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        check_identities(data_source, mini_batch_size, num_instances)
        # triplet_sampler.py:90 unpacks exactly three fields.
        items = [tuple(item[:3]) for item in data_source]
        init(self, items, mini_batch_size, num_instances, *args, **kwargs)

    return wrapped


def _not_empty(init: Callable[..., None]) -> Callable[..., None]:
    """data_sampler.py:37 asserts without a word, imbalance_sampler.py:58 loops for ever."""

    @functools.wraps(init)
    def wrapped(self: Any, source: Any, *args: Any, **kwargs: Any) -> None:
        if (source if isinstance(source, int) else len(source)) < 1:
            raise DataError("The training set has no images to sample.")
        init(self, source, *args, **kwargs)

    return wrapped


def refuse_set_reweight(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """triplet_sampler.py:185-197 takes camera names for numbers and never works."""
    raise ConfigError(
        "DATALOADER.SAMPLER_TRAIN SetReWeightSampler does not work in FastReID: use NaiveIdentitySampler, "
        "BalancedIdentitySampler or ImbalancedDatasetSampler."
    )
