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
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
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


class _PatchingLoader(importlib.abc.Loader):
    """The host's own loader, and the patches after it."""

    def __init__(self, loader: Any, patch: Callable[[], None]) -> None:
        self._loader, self._patch = loader, patch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        """Leave it to the host's loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the host's own ``__init__``, then patch; a failure leaves none of its modules behind."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        before = set(sys.modules)
        self._loader.exec_module(module)
        try:
            self._patch()
        except BaseException:
            _forget(
                [name for name in sys.modules if name not in before and (_is_hosts(name) or _is_own(name))]
            )
            raise


def _forget(modules: Iterable[str]) -> None:
    """Unload modules, so that the next import runs them anew."""
    for name in modules:
        package, _, short = name.rpartition(".")
        if package in sys.modules:
            vars(sys.modules[package]).pop(short, None)
        del sys.modules[name]


class _WatchedHost(importlib.abc.MetaPathFinder):
    """The first finder of all: gives the host's spec a loader that patches; to find is not yet to patch.

    A folder ``fastreid`` without an ``__init__.py`` is not the host.
    """

    def __init__(self, patch: Callable[[], None]) -> None:
        self._patch = patch

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the host by all other finders; leave every other name to them.

        Raises:
            HostMissingError: none of them finds it.
        """
        if fullname != HOST:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is None or spec.loader is None:
            raise HostMissingError(HOW_TO_INSTALL, name=HOST)
        spec.loader = _PatchingLoader(spec.loader, self._patch)
        return spec


def patch_when_imported(patch: Callable[[], None]) -> None:
    """Call ``patch`` right after the host's first import, before the import statement returns.

    Without a host, its import raises `HostMissingError` instead of a bare ModuleNotFoundError.
    """
    if not any(isinstance(finder, _WatchedHost) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WatchedHost(patch))


def has_host() -> bool:
    """Tell whether the host can be imported; no distribution metadata is asked (a git checkout has none)."""
    try:
        return importlib.util.find_spec(HOST) is not None
    except (HostMissingError, ValueError):
        return False


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


# What was replaced wherever the host holds it: kept, since who imported it before has it still.
_replaced: list[Any] = []


def rebind(original: Any, replacement: Any) -> None:
    """Put ``replacement`` wherever a loaded module of the host holds ``original``.

    The host imports its functions by name into several modules, so that setting one attribute is not enough.
    """
    if original is not replacement:
        _replaced.append(original)
    for name, module in list(sys.modules.items()):
        if _is_hosts(name):
            for key, value in list(vars(module).items()):
                if value is original:
                    setattr(module, key, replacement)


def _is_hosts(module: str) -> bool:
    return module == HOST or module.startswith(f"{HOST}.")


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == __name__.partition(".")[0]


def stale_names() -> list[str]:
    """Return the names outside of the host that still refer to what is replaced in it: ``["__main__.build_model"]``.

    A class that derives from a replaced one is among them.
    """
    replaced = {id(original) for original in _replaced}
    loaded = reversed(list(sys.modules.items()))
    modules = {id(module): (name, module) for name, module in loaded}  # each once, by its first name
    stale = [
        f"{name}.{key}"
        for name, module in modules.values()
        for key, value in list(getattr(module, "__dict__", {}).items())
        if id(value) in replaced
    ]
    for original in _replaced:
        derived: list[type] = original.__subclasses__() if isinstance(original, type) else []
        stale += [f"{cls.__module__}.{cls.__qualname__}" for cls in derived]
    return sorted({name for name in stale if not (_is_hosts(name) or _is_own(name))})


def warn_of_stale_names() -> None:
    """Warn, where this package is imported, of what was imported from the host too early."""
    stale = stale_names()
    if stale:
        warnings.warn(
            "fastreid was imported before fastreid_projects, and these names still refer to its unpatched code: "
            f"{', '.join(stale)}. Import fastreid_projects first",
            stacklevel=4,  # of watch_host, of this package, of the import statement
        )
