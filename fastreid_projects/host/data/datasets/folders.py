"""Patches of where the datasets look for their folders."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from fastreid.data.datasets import bases, market1501, vehicleid, veri

from fastreid_projects.data.datasets import not_found

# The host asks for these folders in lower case (veri.py:29, vehicleid.py:27), the publishers and others write them so.
SPELLINGS = {"veri": "VeRi", "vehicleid": "VehicleID"}
SPELT_CLASSES = (
    veri.VeRi,
    vehicleid.VehicleID,
    vehicleid.SmallVehicleID,
    vehicleid.MediumVehicleID,
    vehicleid.LargeVehicleID,
)

_host_market_init = market1501.Market1501.__init__


def patch_folders() -> None:
    """Take either spelling of a folder, and name what is missing."""
    for dataset in SPELT_CLASSES:
        dataset.__init__ = _either_spelling(dataset.__init__)
    market1501.Market1501.__init__ = market_init
    bases.Dataset.check_before_run = check_before_run


def _either_spelling(init: Callable[..., None]) -> Callable[..., None]:
    """Let a dataset use its folder by the publisher's spelling where the host's is not there."""

    @functools.wraps(init)
    def wrapped(self: Any, root: str = "datasets", *args: Any, **kwargs: Any) -> None:
        other = SPELLINGS.get(self.dataset_dir)
        there = [os.path.isdir(os.path.join(root, folder)) for folder in (self.dataset_dir, other) if folder]
        if there == [False, True]:
            self.dataset_dir = other
        init(self, root, *args, **kwargs)

    return wrapped


def market_init(self: Any, root: str = "datasets", market1501_500k: bool = False, **kwargs: Any) -> None:
    """Look for Market-1501 first: market1501.py:41 calls a folder that is not there "deprecated"."""
    base = os.path.join(root, type(self).dataset_dir)
    names = ("Market-1501-v15.09.15", "bounding_box_train")
    if not any(os.path.isdir(os.path.join(base, name)) for name in names):
        raise not_found(os.path.join(base, names[0]))
    _host_market_init(self, root=root, market1501_500k=market1501_500k, **kwargs)


def check_before_run(self: Any, required_files: str | list[str]) -> None:
    """Raise DataError for the first file or folder that is missing (bases.py:124)."""
    for path in [required_files] if isinstance(required_files, str) else required_files:
        if not os.path.exists(path):
            raise not_found(path)
