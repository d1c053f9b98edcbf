"""Patches of the datasets that read labels from file names with a pattern."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from fastreid.data.datasets import cuhk_sysu, dukemtmcreid, market1501, veri

from fastreid_projects.contract import junk_of
from fastreid_projects.errors import DataError


class Names(NamedTuple):
    """The scheme by which a dataset names its images.

    Attributes:
        example: an example of a name.
        pids: the first and the last identity.
        cameras: the first and the last camera.
    """

    example: str
    pids: tuple[int, int] = (-1, 10**9)
    cameras: tuple[int, int] = (0, 10**9)


# The host searches its pattern in the whole path: below /data/run2_c3/, every image is of person 2 by camera 3
# (market1501.py:74). The ranges are those that it asserts (market1501.py:81, dukemtmcreid.py:63, veri.py:61).
NAMES = {
    market1501.Market1501: Names("0002_c1s1_000451_03.jpg", (-1, 1501), (1, 6)),
    dukemtmcreid.DukeMTMC: Names("0001_c2_f0046182.jpg", cameras=(1, 8)),
    veri.VeRi: Names("0001_c001_00016450_0.jpg", (-1, 776), (1, 20)),
    cuhk_sysu.cuhkSYSU: Names("p1_s1_1.jpg"),
}


def patch_names() -> None:
    """Read labels only from the file name, with all digits, and name a file without labels or with strange ones."""
    for dataset, names in NAMES.items():
        process_dir: Any = dataset.process_dir
        process_dir.__globals__["re"] = reader = _FileNameRe(names)
        dataset.process_dir = _counting_junk(process_dir, reader)


class _FileNameRe:
    """Replacement for the module ``re`` in the datasets that search a pattern in the whole path.

    Attributes:
        searched: the number of names that were searched.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self.searched = 0

    def compile(self, pattern: str) -> _FileNamePattern:
        return _FileNamePattern(re.compile(_all_digits(pattern)), self)

    def __getattr__(self, name: str) -> Any:
        return getattr(re, name)


def _all_digits(pattern: str) -> str:
    """Let both numbers have any number of digits: ``_c(\\d)`` takes camera 12 for camera 1 (market1501.py:74)."""
    identity, camera = r"(-?\d+)", r"(\d+)"
    for narrow in (r"([-\d]+)", r"([\d]+)"):
        pattern = pattern.replace(narrow, identity)
    for narrow in (r"(\d\d\d)", r"(\d)"):
        pattern = pattern.replace(narrow, camera)
    return pattern


class _FileNamePattern:
    """A compiled pattern that is searched only in the file name."""

    def __init__(self, pattern: re.Pattern[str], owner: _FileNameRe) -> None:
        self._pattern = pattern
        self._owner = owner

    def search(self, path: str) -> re.Match[str]:
        """Return the match; a file without one is not silently left out.

        Raises:
            DataError: there is no match, or an identity or a camera that the dataset does not have.
        """
        self._owner.searched += 1
        names = self._owner.names
        match = self._pattern.search(os.path.basename(path))
        if match is None:
            raise DataError(
                f"File {path} has no identity and camera in its name, unlike {names.example}: rename or remove it, or "
                "read your own pictures as FolderReID (docs/own_data.md)."
            )
        for kind, value, (first, last) in (
            ("identity", int(match[1]), names.pids),
            ("camera", int(match[2]), names.cameras),
        ):
            if not first <= value <= last:
                raise DataError(
                    f"File {path} has the {kind} {value}, but the dataset's go from {first} to {last}: rename or "
                    "remove it, or read your own pictures as FolderReID (docs/own_data.md), which accepts any number."
                )
        return match


def _counting_junk(process_dir: Callable[..., Any], reader: _FileNameRe) -> Callable[..., Any]:
    """Count the test images of identity -1, which the host leaves out silently (market1501.py:79)."""

    @functools.wraps(process_dir)
    def wrapped(self: Any, dir_path: str, *is_train: bool, **kwargs: bool) -> Any:
        before = reader.searched
        items = process_dir(self, dir_path, *is_train, **kwargs)
        if not all((*is_train, *kwargs.values())):
            self.junk = junk_of(self) + reader.searched - before - len(items)
        return items

    return wrapped
