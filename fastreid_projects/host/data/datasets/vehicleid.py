"""Patch of data/datasets/vehicleid.py: the choice of the gallery depends on its own seed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fastreid.data.datasets.vehicleid import VehicleID


def patch_vehicleid() -> None:
    """Add the argument ``split_seed``; vehicleid.py:70 shuffles globally, and differently in each process."""
    VehicleID.draws_gallery = True
    VehicleID.__init__ = _with_seed(VehicleID.__init__)


def _with_seed(init: Callable[..., None]) -> Callable[..., None]:
    """Set the seed before the lists are read."""

    @functools.wraps(init)
    def wrapped(self: Any, *args: Any, split_seed: int = 0, **kwargs: Any) -> None:
        self.split_seed = split_seed
        init(self, *args, **kwargs)

    return wrapped
