"""Mends of the host's datasets (data/datasets/*.py) and of how they are built (data/build.py:27-43)."""

from __future__ import annotations

import copy
import fnmatch
import functools
import glob
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from fastreid.config.defaults import _C
from fastreid.data import build as host_build
from fastreid.data.datasets import (
    DATASET_REGISTRY,
    bases,
    cuhk_sysu,
    dukemtmcreid,
    market1501,
    vehicleid,
    veri,
)

from fastreid_projects.data.identities import keep_identities
from fastreid_projects.errors import DataError
from fastreid_projects.evaluation.ranking import why_no_match

ROOT_VARIABLE = "FASTREID_DATASETS"
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


def mend_datasets() -> None:
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
        raise _not_found(os.path.join(base, names[0]))
    _host_market_init(self, root=root, market1501_500k=market1501_500k, **kwargs)


def check_before_run(self: Any, required_files: str | list[str]) -> None:
    """Raise DataError for the first file or folder that is missing (bases.py:124)."""
    for path in [required_files] if isinstance(required_files, str) else required_files:
        if not os.path.exists(path):
            raise _not_found(path)


def _not_found(path: str) -> DataError:
    return DataError(
        f"{path} is not found: let the environment variable {ROOT_VARIABLE} name the folder that holds the "
        "datasets."
    )


def combine_all(self: Any) -> None:
    """Add query and gallery to the training images; bases.py:117 fails for items of more fields."""
    combined = copy.deepcopy(self.train)
    name = getattr(self, "dataset_name", "Unknown")
    for path, pid, camid, *rest in [*self.query, *self.gallery]:
        if pid not in self._junk_pids:
            combined.append((path, f"{name}_test_{pid}", f"{name}_test_{camid}", *rest))
    self._train = combined


def dataset_root() -> str:
    """Return the folder of all datasets; data/build.py:27 reads the variable once, at import."""
    root = os.environ.get(ROOT_VARIABLE)
    if root:
        host_build._root = os.path.expanduser(root)
    return str(host_build._root)


def build_dataset(name: str, **kwargs: Any) -> Any:
    """Build a registered dataset below `dataset_root`.

    Raises:
        ConfigError: no dataset of this name is registered.
        DataError: its files are not there.
    """
    factory = DATASET_REGISTRY.get(name)
    root = dataset_root()
    try:
        return factory(root=root, **kwargs)
    except (AssertionError, FileNotFoundError) as error:
        # msmt17.py:62 and wildtracker.py:52 do not say which folder they miss.
        missing = getattr(error, "filename", None) or root
        raise DataError(
            f"Dataset {name} is not found in {missing}: let the environment variable {ROOT_VARIABLE} name "
            "the folder that holds it."
        ) from error


def subset(data: Any, name: str, part: str) -> list[Any]:
    """Return ``data.train``, ``.query`` or ``.gallery``, which must hold images."""
    items = list(getattr(data, part))
    if not items:
        folder = getattr(data, f"{part}_dir", None) or getattr(data, "dataset_dir", "") or dataset_root()
        raise DataError(
            f"Dataset {name} has no {part} images: {folder} names or holds none; add some, or name another dataset."
        )
    return items


def check_matches(name: str, items: Sequence[Any], num_query: int, *, same_camera: bool = False) -> None:
    """See before the features are computed that there is something to rank.

    Args:
        name: of the dataset.
        items: (path, identity, camera, ...) of the queries, then of the gallery.
        num_query: how many are queries.
        same_camera: a match by the query's own camera counts, too (TEST.SAME_CAMERA).

    Raises:
        DataError: no query has a match.
    """
    queries, gallery = items[:num_query], items[num_query:]
    cameras: dict[Any, set[Any]] = {}
    for item in gallery:
        cameras.setdefault(item[1], set()).add(item[2])
    if not any(cameras.get(item[1], set()) - (set() if same_camera else {item[2]}) for item in queries):
        found = [item[1] for item in queries if item[1] in cameras]
        reason = why_no_match(
            [i[1] for i in queries], [i[1] for i in gallery], [i[2] for i in gallery], bool(found)
        )
        example = next((f" The first query is {item[0]}." for item in queries), "")
        raise DataError(f"Dataset {name} cannot be evaluated. {reason}{example}")


def training_items(cfg: Any, data: Any, name: str) -> list[Any]:
    """The training images of a built dataset, of the share of its identities that DATASETS.ID_FRACTION leaves."""
    return keep_identities(
        subset(data, name, "train"), cfg.DATASETS.ID_FRACTION, cfg.DATASETS.ID_FRACTION_SEED
    )
