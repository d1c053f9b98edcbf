"""Patches of the host's training samplers (data/samplers/*.py), which loop forever on bad input."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from fastreid.data.samplers import data_sampler, imbalance_sampler, triplet_sampler
from fastreid.utils import comm

from fastreid_projects.errors import ConfigError, DataError


def patch_samplers() -> None:
    """Check the arguments of all samplers before they sample.

    Both identity samplers seed NumPy's global generator when their iteration starts (triplet_sampler.py:78,
    217) and draw from it lazily. With a SEED this is deterministic: with workers, only the samplers use it in the
    main process; without workers, augmentation draws from it in a fixed order.
    """
    for identity_sampler in (triplet_sampler.NaiveIdentitySampler, triplet_sampler.BalancedIdentitySampler):
        identity_sampler.__init__ = _checked(identity_sampler.__init__)
    triplet_sampler.SetReWeightSampler.__init__ = refuse_set_reweight
    data_sampler.TrainingSampler.__init__ = _not_empty(data_sampler.TrainingSampler.__init__)
    imbalance_sampler.ImbalancedDatasetSampler.__init__ = _not_empty(
        imbalance_sampler.ImbalancedDatasetSampler.__init__
    )


def check_identities(items: Sequence[Any], mini_batch_size: int, num_instances: int) -> None:
    """Refuse input for which an identity sampler never ends.

    Args:
        items: the training images, (path, pid, ...).
        mini_batch_size: the number of images in a batch of one process.
        num_instances: the number of images of each identity in a batch.

    Raises:
        ConfigError: the batch is not a multiple of ``num_instances``, or needs more identities than there are.
        DataError: there are no images.
    """
    if not items:
        raise DataError("The training set has no images to sample.")
    world = comm.get_world_size()
    if num_instances < 1 or mini_batch_size < num_instances or mini_batch_size % num_instances:
        raise ConfigError(
            f"The batch of {mini_batch_size} images per process (SOLVER.IMS_PER_BATCH over {world} "
            f"processes) is not a multiple of DATALOADER.NUM_INSTANCE {num_instances}: change one of them."
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
    """Refuse empty data: data_sampler.py:37 asserts without a message, imbalance_sampler.py:58 loops forever."""

    @functools.wraps(init)
    def wrapped(self: Any, source: Any, *args: Any, **kwargs: Any) -> None:
        if (source if isinstance(source, int) else len(source)) < 1:
            raise DataError("The training set has no images to sample.")
        init(self, source, *args, **kwargs)

    return wrapped


def refuse_set_reweight(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Refuse the host's sampler: triplet_sampler.py:185-197 takes camera names for numbers and never works."""
    raise ConfigError(
        "FastReID's SetReWeightSampler does not work: let DATALOADER.SAMPLER_TRAIN SetReWeightSampler build one that "
        "does, or create a fastreid_projects.data.set_sampler.SetSampler."
    )
