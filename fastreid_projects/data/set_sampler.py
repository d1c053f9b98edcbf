"""Sample batches in which every training set has a fixed share, whatever its size."""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.utils import comm
from torch.utils.data import Sampler

from fastreid_projects.errors import ConfigError, DataError

NAME = "SetReWeightSampler"


def sets_of(items: Sequence[Any], names: Sequence[str]) -> list[int]:
    """Return the number of each item's training set, by the name that its identity starts with.

    Args:
        items: (path, identity, ...) of the training images.
        names: DATASETS.NAMES.

    Raises:
        ConfigError: two sets have the same identities, as VehicleID and SmallVehicleID.
        DataError: an identity belongs to none of them.
    """
    prefixes = [f"{DATASET_REGISTRY.get(name).dataset_name}_" for name in names]
    if len(set(prefixes)) < len(prefixes):
        raise ConfigError(
            f"DATALOADER.SAMPLER_TRAIN {NAME} needs sets of different identities, but two of DATASETS.NAMES "
            f"({', '.join(names)}) have the same ones: leave one of them out"
        )
    by_length = sorted(range(len(names)), key=lambda number: -len(prefixes[number]))
    found: dict[str, int] = {}
    for item in items:
        identity = str(item[1])
        if identity not in found:
            own = [number for number in by_length if identity.startswith(prefixes[number])]
            if not own:
                raise DataError(
                    f"{item[0]} belongs to none of DATASETS.NAMES ({', '.join(names)}) by its identity {identity}"
                )
            found[identity] = own[0]
    return [found[str(item[1])] for item in items]


class SetSampler(Sampler[int]):
    """Sample identities of each set in fixed shares, and some images of each identity.

    It replaces FastReID's SetReWeightSampler, which never works, and supports several processes: each draws the batches
    of all and keeps its own.

    Args:
        items: (path, identity, ...) of the training images.
        sets: the number of each item's set, 0 to S - 1.
        mini_batch_size: number of images per batch and process.
        num_instances: number of images of an identity in a batch.
        weights: the S shares; by default all are equal.
        seed: the random seed; by default the processes agree on one.

    Raises:
        ConfigError: the batch cannot be divided by the shares, or a set has too few identities for its share.
    """

    def __init__(
        self,
        items: Sequence[Any],
        sets: Sequence[int],
        mini_batch_size: int,
        num_instances: int,
        weights: Sequence[int] = (),
        seed: int | None = None,
    ) -> None:
        self._images: list[dict[Any, list[int]]] = [defaultdict(list) for _ in range(max(sets) + 1)]
        for index, (item, number) in enumerate(zip(items, sets, strict=True)):
            self._images[number][item[1]].append(index)
        self._shares = _shares(mini_batch_size, num_instances, list(weights) or [1] * len(self._images))
        for number, (people, share) in enumerate(zip(self._images, self._shares, strict=True)):
            if len(people) < share:
                raise ConfigError(
                    f"A batch holds {share} identities of the training set number {number + 1}, but it only has "
                    f"{len(people)}: lower its DATALOADER.SET_WEIGHT or SOLVER.IMS_PER_BATCH"
                )
        self._instances = num_instances
        self._seed = comm.shared_random_seed() if seed is None else int(seed)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng(self._seed)
        draw = functools.partial(_in_turn, rng)
        people = [draw(list(images), share) for images, share in zip(self._images, self._shares, strict=True)]
        images = [{pid: draw(own, self._instances) for pid, own in owns.items()} for owns in self._images]
        for process in itertools.cycle(range(comm.get_world_size())):
            batch = [
                index
                for chosen, own in zip(people, images, strict=True)
                for pid in next(chosen)
                for index in next(own[pid])
            ]
            if process == comm.get_rank():
                yield from batch


def _in_turn(rng: np.random.Generator, values: list[Any], count: int) -> Iterator[list[Any]]:
    """Yield ``count`` values at a time, forever; no value is repeated before all others had their turn."""
    while True:
        if len(values) < count:
            yield [values[number] for number in rng.integers(len(values), size=count)]
            continue
        order = rng.permutation(len(values))
        for start in range(0, len(values) - count + 1, count):
            yield [values[number] for number in order[start : start + count]]


def _shares(mini_batch_size: int, num_instances: int, weights: list[int]) -> list[int]:
    """Return the number of identities of each set in a batch of one process."""
    identities, rest = divmod(mini_batch_size, num_instances)
    if rest or identities % sum(weights):
        raise ConfigError(
            f"A batch of {mini_batch_size} images per process, {num_instances} of an identity, cannot be divided by "
            f"DATALOADER.SET_WEIGHT {weights}: make SOLVER.IMS_PER_BATCH / processes / DATALOADER.NUM_INSTANCE a "
            f"multiple of {sum(weights)}"
        )
    return [weight * identities // sum(weights) for weight in weights]
