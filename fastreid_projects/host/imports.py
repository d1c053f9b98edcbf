"""Import the host on a current Python and PyTorch, and say one clear sentence where it is not installed."""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import importlib
import importlib.abc
import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from typing import Any

from fastreid_projects.errors import HostMissingError

HOST = "fastreid"
HOW_TO_INSTALL = (
    "FastReID is not installed: run 'pip install --no-deps fastreid==1.4.0', "
    "or put a git checkout of github.com/JDAI-CV/fast-reid on PYTHONPATH."
)
# Everything that binds a name which is mended, plus what fails without legacy names.
MODULES = ("config.defaults", "data", "modeling", "solver", "evaluation", "engine", "utils.checkpoint")


class MissingHost(importlib.abc.MetaPathFinder):
    """The last finder of all: what it is asked for, nobody else has found."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise where the host is looked for; leave every other name alone."""
        if fullname == HOST:
            raise HostMissingError(HOW_TO_INSTALL, name=HOST)
        return None


def has_host() -> bool:
    """Tell whether the host can be imported; no distribution metadata is asked (a git checkout has none)."""
    try:
        return importlib.util.find_spec(HOST) is not None
    except (HostMissingError, ValueError):
        return False


def announce_missing_host() -> None:
    """Let a later ``import fastreid`` raise `HostMissingError` instead of a bare ModuleNotFoundError."""
    if not any(isinstance(finder, MissingHost) for finder in sys.meta_path):
        sys.meta_path.append(MissingHost())


@contextlib.contextmanager
def legacy_names() -> Iterator[None]:
    """Offer ``torch._six`` and ``collections.Mapping`` for the time of an import.

    data/build.py:11-12 and evaluation/testing.py:5 still import them; PyTorch 2 and Python 3.10 removed them.
    The host binds the names at import and needs nothing later, so both are taken away again.
    """
    added_six = "torch._six" not in sys.modules and importlib.util.find_spec("torch._six") is None
    added_mapping = not hasattr(collections, "Mapping")
    if added_six:
        six: Any = types.ModuleType("torch._six")
        six.string_classes = (str, bytes)
        sys.modules["torch._six"] = six
    if added_mapping:
        collections.Mapping = collections.abc.Mapping  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if added_six:
            del sys.modules["torch._six"]
        if added_mapping:
            del collections.Mapping  # type: ignore[attr-defined]


def import_host() -> None:
    """Import those of the host's modules that are mended."""
    with legacy_names():
        for name in MODULES:
            importlib.import_module(f"{HOST}.{name}")


def rebind(original: Any, replacement: Any) -> None:
    """Put ``replacement`` wherever a loaded module of the host holds ``original``.

    The host imports its functions by name into several modules, so that setting one attribute is not enough.
    """
    for name, module in list(sys.modules.items()):
        if name == HOST or name.startswith(HOST + "."):
            for key, value in list(vars(module).items()):
                if value is original:
                    setattr(module, key, replacement)
