"""Patches of data/datasets/*.py: files in the order of their names, labels from the file's name."""

from __future__ import annotations

import copy
import fnmatch
import functools
import glob
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from fastreid.config.defaults import _C
from fastreid.data.datasets import (
    bases,
    cuhk_sysu,
    dukemtmcreid,
    market1501,
    vehicleid,
    veri,
)

from fastreid_projects.data.datasets import not_found
from fastreid_projects.errors import DataError

# These four search their pattern in the whole path: under /data/run2_c3/ every image is of person 2, camera
# 3.
PATTERN_MODULES = (market1501, dukemtmcreid, veri, cuhk_sysu)


PATTERN_CLASSES = (market1501.Market1501, dukemtmcreid.DukeMTMC, veri.VeRi, cuhk_sysu.cuhkSYSU)


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


def patch_datasets() -> None:
    """List files in the order of their names, read labels from the file's name, name what is missing.

    Adds DATASETS.ID_FRACTION, the share of the training identities that is used, and the seed of that choice.
    """
    if "ID_FRACTION" not in _C.DATASETS:
        _C.DATASETS.ID_FRACTION, _C.DATASETS.ID_FRACTION_SEED = 1.0, 0
    for name, module in list(sys.modules.items()):
        if name.startswith("fastreid.data.datasets."):
            if getattr(module, "glob", None) is glob:
                module.glob = _SortedGlob()  # type: ignore[attr-defined]
            elif getattr(module, "glob", None) is glob.glob:
                module.glob = sorted_glob  # type: ignore[attr-defined]
    for module in PATTERN_MODULES:
        module.re = _FileNameRe()
    for dataset in PATTERN_CLASSES:
        dataset.process_dir = _naming_the_file(dataset.process_dir)
    for dataset in SPELT_CLASSES:
        dataset.__init__ = _either_spelling(dataset.__init__)
    market1501.Market1501.__init__ = market_init
    bases.Dataset.check_before_run = check_before_run
    bases.Dataset.combine_all = combine_all


def sorted_glob(pattern: str, **kwargs: Any) -> list[str]:
    """List matching paths sorted; the file system's own order (market1501.py:73) differs between machines.

    Of a pattern only the last part is one: a folder may be called ``[new]``.
    """
    folder, name = os.path.split(pattern)
    if kwargs or (glob.has_magic(folder) and not os.path.isdir(folder)):
        return sorted(glob.glob(pattern, **kwargs))
    files = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
    return [os.path.join(folder, file) for file in sorted(fnmatch.filter(files, name)) if file[:1] != "."]


class _SortedGlob:
    """Stands in for the module ``glob``."""

    glob = staticmethod(sorted_glob)

    def __getattr__(self, name: str) -> Any:
        return getattr(glob, name)


class _FileNamePattern:
    """A compiled pattern that is searched in the file's name alone."""

    def __init__(self, pattern: re.Pattern[str], owner: _FileNameRe) -> None:
        self._pattern = pattern
        self._owner = owner

    def search(self, path: str) -> re.Match[str]:
        """Return the match; a file that has none is not silently left out."""
        self._owner.last = path
        match = self._pattern.search(os.path.basename(path))
        if match is None:
            raise DataError(
                f"File {path} has no identity and camera in its name (pattern {self._pattern.pattern}): "
                "rename or remove it."
            )
        return match


class _FileNameRe:
    """Stands in for the module ``re`` in the datasets that search a pattern in the whole path."""

    last = ""

    def compile(self, pattern: str) -> Any:
        return _FileNamePattern(re.compile(pattern), self)

    def __getattr__(self, name: str) -> Any:
        return getattr(re, name)


def _naming_the_file(process_dir: Callable[..., Any]) -> Callable[..., Any]:
    """The host asserts the range of identities and cameras without a word (market1501.py:81)."""
    names = process_dir.__globals__["re"]

    @functools.wraps(process_dir)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return process_dir(self, *args, **kwargs)
        except AssertionError:
            raise DataError(
                f"File {names.last} has an identity or a camera outside of what {type(self).__name__} has."
            ) from None

    return wrapped


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


def combine_all(self: Any) -> None:
    """Add query and gallery to the training images; bases.py:117 fails for items of more fields."""
    combined = copy.deepcopy(self.train)
    name = getattr(self, "dataset_name", "Unknown")
    for path, pid, camid, *rest in [*self.query, *self.gallery]:
        if pid not in self._junk_pids:
            combined.append((path, f"{name}_test_{pid}", f"{name}_test_{camid}", *rest))
    self._train = combined
