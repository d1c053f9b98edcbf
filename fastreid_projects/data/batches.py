"""The batches of a run, numbered from its first iteration, whose random numbers follow from that number.

The host's samplers draw from NumPy's global generator while they go (data/samplers/triplet_sampler.py:78, 217,
data_sampler.py:54), as augmentation does in the same or in other processes. What they draw then depends on what was
drawn between, and cannot be taken up again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from torch.utils.data import BatchSampler

from fastreid_projects.data.generators import IMAGES, SAMPLER, Generators


class Batch:
    """The indices of a batch; while they are gone through, random numbers are the batch's own.

    Args:
        indices: of the dataset.
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
    """A batch sampler that can start anywhere; it draws what is before without loading an image.

    Args:
        batches: PyTorch's over an endless sampler.

    Attributes:
        start: number of the first batch that is given out.
        seed: of all that is drawn; the host's samplers have one, which all processes share.
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
    """Number the batches of a training set, which all have one size; those of a test set stay as they are."""
    return NumberedBatches(batches) if type(batches) is BatchSampler and batches.drop_last else batches
