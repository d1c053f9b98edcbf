"""External files as modules of this package: ``/lib/my_loss.py`` is ``plugin_modules._2f_lib_2f_my__loss_2e_py``.

The name contains the path. A process that gets an object of such a file by the name of its module, such as a spawned
worker of a data loader, can therefore import the file without knowing anything else.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import re
import sys
import types
from collections.abc import Sequence
from importlib.machinery import ModuleSpec

_PACKAGE = "__init__.py"


def module_name(path: str) -> str:
    """Return the name under which a file is imported as a module; a file has one name, whatever links lead to it.

    Args:
        path: the path of a ``.py`` file; an ``__init__.py`` is a package, which may import the files in its folder.
    """
    escaped = re.sub(r"[^a-zA-Z0-9]", _escape, os.path.realpath(path))
    return f"{__name__}.{escaped}"


def _escape(match: re.Match[str]) -> str:
    return "__" if match[0] == "_" else f"_{ord(match[0]):x}_"


def _path_of(name: str) -> str:
    """Return the path that the last part of a module's name stands for."""
    return re.sub(r"_([0-9a-f]*)_", lambda match: chr(int(match[1], 16)) if match[1] else "_", name)


class _Finder(importlib.abc.MetaPathFinder):
    """Find the file of a name from :func:`module_name`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import such a file; None for other names, and if the file does not exist."""
        parent, _, name = fullname.rpartition(".")
        file = _path_of(name) if parent == __name__ else ""
        if not os.path.isabs(file) or not os.path.isfile(file):
            return None
        folders = [os.path.dirname(file)] if os.path.basename(file) == _PACKAGE else None
        return importlib.util.spec_from_file_location(fullname, file, submodule_search_locations=folders)


sys.meta_path.append(_Finder())
