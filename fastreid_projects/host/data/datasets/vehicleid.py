"""Patch of data/datasets/vehicleid.py: which images are the gallery depends on a seed of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fastreid.data.datasets.vehicleid import VehicleID


def patch_vehicleid() -> None:
    """Let the sets take ``split_seed``; vehicleid.py:70 shuffles by the global generator, in each process anew."""
    VehicleID.draws_gallery = True
    VehicleID.__init__ = _with_seed(VehicleID.__init__)


def _with_seed(init: Callable[..., None]) -> Callable[..., None]:
    """Keep the seed before the lists are read."""

    @functools.wraps(init)
    def wrapped(self: Any, *args: Any, split_seed: int = 0, **kwargs: Any) -> None:
        self.split_seed = split_seed
        init(self, *args, **kwargs)

    return wrapped
