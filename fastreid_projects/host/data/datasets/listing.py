"""Patches of how data/datasets/*.py list files: in the order of their names, without hidden ones."""

from __future__ import annotations

import fnmatch
import glob
import os
import sys
from collections.abc import Iterator
from typing import Any


def patch_listing() -> None:
    """Let every dataset list its files sorted; the file system's own order (market1501.py:73, lpw.py:40) differs."""
    for name, module in list(sys.modules.items()):
        if name.startswith("fastreid.data.datasets."):
            if getattr(module, "os", None) is os:
                module.os = _SortedOs()  # type: ignore[attr-defined]
            if getattr(module, "glob", None) is glob:
                module.glob = _SortedGlob()  # type: ignore[attr-defined]
            elif getattr(module, "glob", None) is glob.glob:
                module.glob = sorted_glob  # type: ignore[attr-defined]


def sorted_glob(pattern: str, **kwargs: Any) -> list[str]:
    """List matching paths sorted.

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


class _SortedOs:
    """Stands in for the module ``os``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    @staticmethod
    def listdir(path: str) -> list[str]:
        """List sorted, without hidden files."""
        return sorted(name for name in os.listdir(path) if name[:1] != ".")

    @staticmethod
    def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
        """Walk sorted, without hidden files and folders."""
        for folder, folders, files in os.walk(top):
            folders[:] = sorted(name for name in folders if name[:1] != ".")
            yield folder, folders, sorted(name for name in files if name[:1] != ".")
