"""Patches of how data/datasets/*.py list files: sorted by name, without hidden files."""

from __future__ import annotations

import fnmatch
import functools
import glob
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from fastreid_projects.data.images import is_picture

logger = logging.getLogger("fastreid.projects.host.datasets")


def patch_listing() -> None:
    """Let every dataset list its files sorted; the order of the file system (market1501.py:73, lpw.py:40) varies."""
    for name, module in list(sys.modules.items()):
        if name.startswith("fastreid.data.datasets."):
            if getattr(module, "os", None) is os:
                module.os = _SortedOs()  # type: ignore[attr-defined]
            if getattr(module, "glob", None) is glob:
                module.glob = _SortedGlob()  # type: ignore[attr-defined]
            elif getattr(module, "glob", None) is glob.glob:
                module.glob = sorted_glob  # type: ignore[attr-defined]


def sorted_glob(pattern: str, **kwargs: Any) -> list[str]:
    """List matching paths sorted, ignoring the case of their suffix; warn of other pictures among them.

    Only the last part of the path is a pattern: a folder may be called ``[new]``.
    """
    folder, name = os.path.split(pattern)
    if kwargs or (glob.has_magic(folder) and not os.path.isdir(folder)):
        return sorted(glob.glob(pattern, **kwargs))
    files = sorted(os.listdir(folder or ".") if os.path.isdir(folder or ".") else [])
    files = [file for file in files if file[:1] != "."]
    found = [file for file in files if fnmatch.fnmatch(file.lower(), name.lower())]
    if name.startswith("*.") and len(found) < len(files):
        others = sorted(set(files).difference(found))
        _warn_of_others(folder, name, tuple(file for file in others if is_picture(file)))
    return [os.path.join(folder, file) for file in found]


@functools.cache
def _warn_of_others(folder: str, pattern: str, others: Sequence[str]) -> None:
    """Warn once of the pictures that a dataset leaves out."""
    if others:
        logger.warning(
            "%d pictures in %s are not read, as the dataset reads %s: %s",
            len(others),
            folder,
            pattern,
            ", ".join(others[:3]) + (", ..." if len(others) > 3 else ""),
        )


class _SortedGlob:
    """Replacement for the module ``glob``."""

    glob = staticmethod(sorted_glob)

    def __getattr__(self, name: str) -> Any:
        return getattr(glob, name)


class _SortedOs:
    """Replacement for the module ``os``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    @staticmethod
    def listdir(path: str) -> list[str]:
        """List a folder sorted, without hidden files."""
        return sorted(name for name in os.listdir(path) if name[:1] != ".")

    @staticmethod
    def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
        """Walk a folder sorted, without hidden files and folders."""
        for folder, folders, files in os.walk(top):
            folders[:] = sorted(name for name in folders if name[:1] != ".")
            yield folder, folders, sorted(name for name in files if name[:1] != ".")
