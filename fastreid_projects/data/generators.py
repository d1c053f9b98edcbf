"""The three random generators of training: ``random``, NumPy's and PyTorch's.

They are seeded anew for every step and every batch of images, from numbers that a checkpoint holds. A resumed run
therefore draws the same random numbers as an uninterrupted one, wherever it resumes and with any number of workers.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

SAMPLER, IMAGES, STEP = range(3)  # the purposes for which numbers are drawn from one seed


class Generators:
    """Separate random generators on the CPU for the code inside ``with generators.used():``.

    Args:
        words: whole numbers >= 0 that determine the random numbers.
    """

    def __init__(self, *words: int) -> None:
        self._words = words
        self._state: Any = None

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Continue where the last use ended, without changing the random numbers of other code."""
        outside = _get()
        if self._state is None:
            torch.default_generator.manual_seed(seed_two(*self._words))
        else:
            _set(self._state)
        try:
            yield
        finally:
            self._state = _get()
            _set(outside)


def seed_two(*words: int) -> int:
    """Seed ``random`` and NumPy from whole numbers >= 0.

    Returns:
        The seed for PyTorch, which has a generator for each device.
    """
    first, second, third = np.random.SeedSequence(words).generate_state(3).tolist()
    random.seed(first)
    np.random.seed(second)
    return third


def _get() -> Any:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _set(state: Any) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])
