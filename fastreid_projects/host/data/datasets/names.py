"""Patches of the datasets that read labels from file names by a pattern."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from typing import Any

from fastreid.data.datasets import cuhk_sysu, dukemtmcreid, market1501, veri

from fastreid_projects.errors import DataError

# They search their pattern in the whole path: under /data/run2_c3/ every image is of person 2, camera 3
# (market1501.py:74).
PATTERN_MODULES = (market1501, dukemtmcreid, veri, cuhk_sysu)
PATTERN_CLASSES = (market1501.Market1501, dukemtmcreid.DukeMTMC, veri.VeRi, cuhk_sysu.cuhkSYSU)


def patch_names() -> None:
    """Read labels from the file's name alone, and name the file that has none or strange ones."""
    for module in PATTERN_MODULES:
        module.re = _FileNameRe()
    for dataset in PATTERN_CLASSES:
        dataset.process_dir = _naming_the_file(dataset.process_dir)


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
