"""The batches of a run, numbered from its first iteration; the number of a batch determines its random numbers.

The host's samplers draw from NumPy's global generator (data/samplers/triplet_sampler.py:78, 217, data_sampler.py:54),
and so does augmentation, in the same or in other processes. What they draw therefore depends on all other draws in
between, and cannot be reproduced when a run is resumed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from torch.utils.data import BatchSampler

from fastreid_projects.data.generators import IMAGES, SAMPLER, Generators


class Batch:
    """The indices of a batch; while they are iterated over, random numbers come from the batch's own generators.

    Args:
        indices: indices into the dataset.
        words: see :class:`Generators`.
    """

    def __init__(self, indices: list[int], words: tuple[int, ...]) -> None:
        self.indices = indices
        self.words = words

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        with Generators(*self.words).used():
            yield from self.indices


class NumberedBatches(BatchSampler):
    """A batch sampler that can start at any batch; it draws the batches before without loading their images.

    Args:
        batches: PyTorch's batch sampler over an endless sampler.

    Attributes:
        start: number of the first batch to yield.
        seed: seed of all random numbers; the host's samplers have one, which all processes share.
    """

    def __init__(self, batches: BatchSampler) -> None:
        from fastreid.utils import comm  # here, since the host's patches import this module

        super().__init__(batches.sampler, batches.batch_size, batches.drop_last)
        self.start = 0
        self._seed = comm.shared_random_seed() if not hasattr(self.sampler, "_seed") else 0

    @property
    def seed(self) -> int:
        """See the class."""
        return int(getattr(self.sampler, "_seed", self._seed))

    @seed.setter
    def seed(self, value: int) -> None:
        holder: Any = self.sampler if hasattr(self.sampler, "_seed") else self
        holder._seed = value

    def __iter__(self) -> Iterator[Any]:
        from fastreid.utils import comm

        own, batches = Generators(self.seed, SAMPLER), super().__iter__()
        for number in itertools.count():
            with own.used():
                indices = next(batches, None)
            if indices is None:
                return
            if number >= self.start:
                yield Batch(indices, (self.seed, IMAGES, comm.get_rank(), number))


def numbered(batches: Any) -> Any:
    """Number the batches of a training set, which all have the same size; leave those of a test set unchanged."""
    return NumberedBatches(batches) if type(batches) is BatchSampler and batches.drop_last else batches
