"""The three random generators that a training draws from: ``random``, NumPy's and PyTorch's.

They are seeded anew for every step and for every batch of images, by numbers that a checkpoint holds. So a resumed
training draws what an uninterrupted one does, from wherever it continues and with any number of workers.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

SAMPLER, IMAGES, STEP = range(3)  # what the numbers of one seed are drawn for


class Generators:
    """Separate random numbers for the code inside ``with generators.used():``, on the CPU.

    Args:
        words: whole numbers from 0; equal ones give equal random numbers.
    """

    def __init__(self, *words: int) -> None:
        self._words = words
        self._state: Any = None

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Continue where the last use ended, and leave all others' random numbers alone."""
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
    """Seed ``random`` and NumPy by whole numbers from 0.

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
