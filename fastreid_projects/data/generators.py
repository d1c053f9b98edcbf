"""The three random generators that a training draws from: ``random``, NumPy's and PyTorch's.

They are seeded anew for every step and for every batch of images, by numbers that a checkpoint holds. So a resumed
training draws what an uninterrupted one does, from wherever it goes on and with any number of workers.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm

SAMPLER, IMAGES, STEP = range(3)  # what the numbers of one seed are drawn for


class Generators:
    """Random numbers of its own for the code inside ``with generators.used():``, on the CPU.

    Args:
        words: whole numbers from 0; equal ones give equal random numbers.
    """

    def __init__(self, *words: int) -> None:
        self._words = words
        self._state: Any = None

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Go on where the last use ended, and leave all others' random numbers alone."""
        outside = _get()
        if self._state is None:
            torch.default_generator.manual_seed(_seed(*self._words))
        else:
            _set(self._state)
        try:
            yield
        finally:
            self._state = _get()
            _set(outside)


def _seed(*words: int) -> int:
    """Seed ``random`` and NumPy; returns the seed for PyTorch."""
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


class SeedSteps(HookBase):
    """Seed all generators before each step by the run's seed, the process and the iteration."""

    def before_step(self) -> None:
        """Seed, also on CUDA."""
        trainer = self.trainer
        torch.manual_seed(_seed(trainer.progress.seed, STEP, comm.get_rank(), trainer.iter))
