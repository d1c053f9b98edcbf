"""Patches of where datasets look for their folders."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import Any

from fastreid.data.datasets import bases, market1501, msmt17, vehicleid, veri

from fastreid_projects.data.datasets import not_found

# The host expects these folders in lower case (veri.py:29, vehicleid.py:27), but publishers and others write them so.
SPELLINGS = {"veri": "VeRi", "vehicleid": "VehicleID"}
SPELT_CLASSES = (
    veri.VeRi,
    vehicleid.VehicleID,
    vehicleid.SmallVehicleID,
    vehicleid.MediumVehicleID,
    vehicleid.LargeVehicleID,
)

_host_market_init = market1501.Market1501.__init__
_host_msmt17_init = msmt17.MSMT17.__init__

logger = logging.getLogger("fastreid.projects.host.datasets")


def patch_folders() -> None:
    """Accept either spelling of a folder, and name what is missing."""
    for dataset in SPELT_CLASSES:
        dataset.__init__ = _either_spelling(dataset.__init__)
    market1501.Market1501.__init__ = market_init
    msmt17.MSMT17.__init__ = msmt17_init
    bases.Dataset.check_before_run = check_before_run


def _either_spelling(init: Callable[..., None]) -> Callable[..., None]:
    """Let a dataset use its folder under the publisher's spelling if the host's spelling does not exist."""

    @functools.wraps(init)
    def wrapped(self: Any, root: str = "datasets", *args: Any, **kwargs: Any) -> None:
        other = SPELLINGS.get(self.dataset_dir)
        there = [os.path.isdir(os.path.join(root, folder)) for folder in (self.dataset_dir, other) if folder]
        if there == [False, True]:
            self.dataset_dir = other
        init(self, root, *args, **kwargs)

    return wrapped


def market_init(self: Any, root: str = "datasets", market1501_500k: bool = False, **kwargs: Any) -> None:
    """Look for Market-1501 first, because market1501.py:41 calls a missing folder "deprecated"."""
    base = os.path.join(root, type(self).dataset_dir)
    names = ("Market-1501-v15.09.15", "bounding_box_train")
    if not any(os.path.isdir(os.path.join(base, name)) for name in names):
        raise not_found(os.path.join(base, names[0]))
    _host_market_init(self, root=root, market1501_500k=market1501_500k, **kwargs)


def msmt17_init(self: Any, root: str = "datasets", **kwargs: Any) -> None:
    """Say which version is read if there are both, and which ones were looked for if there is none (msmt17.py:62)."""
    there = [name for name in msmt17.VERSION_DICT if os.path.isdir(os.path.join(root, name))]
    if not there:
        raise not_found(*(os.path.join(root, name) for name in msmt17.VERSION_DICT))
    if len(there) > 1:
        logger.warning(
            "MSMT17 is read from %s; %s is beside it and is not read: move the one that you do not want to use",
            os.path.join(root, there[0]),
            there[1],
        )
    _host_msmt17_init(self, root=root, **kwargs)


def check_before_run(self: Any, required_files: str | list[str]) -> None:
    """Raise DataError for the first file or folder that is missing (bases.py:124)."""
    for path in [required_files] if isinstance(required_files, str) else required_files:
        if not os.path.exists(path):
            raise not_found(path)
