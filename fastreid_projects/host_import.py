"""Import the host on a current Python and PyTorch; if it is not installed, say so in one clear sentence."""

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
# Every module that imports a patched name, and those that fail without legacy names.
MODULES = ("config.defaults", "data", "modeling", "solver", "evaluation", "engine", "utils.checkpoint")


class _PatchingLoader(importlib.abc.Loader):
    """The host's loader, followed by the patches."""

    def __init__(self, loader: Any, patch: Callable[[], None]) -> None:
        self._loader, self._patch = loader, patch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        """Create the module with the host's loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the host's ``__init__``, then patch; after a failure, none of its modules stays loaded."""
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
    """Unload modules, so that the next import runs them again."""
    for name in modules:
        package, _, short = name.rpartition(".")
        if package in sys.modules:
            vars(sys.modules[package]).pop(short, None)
        del sys.modules[name]


class _WatchedHost(importlib.abc.MetaPathFinder):
    """The first of all finders, which gives the host a loader that patches it; merely finding the host does not.

    A folder ``fastreid`` without an ``__init__.py`` is not the host.
    """

    def __init__(self, patch: Callable[[], None]) -> None:
        self._patch = patch

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the host with the other finders; leave every other name to them.

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

    If the host is missing, its import raises `HostMissingError` instead of a bare ModuleNotFoundError.
    """
    if not any(isinstance(finder, _WatchedHost) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WatchedHost(patch))


def has_host() -> bool:
    """Return whether the host can be imported; metadata is not used, because a git checkout has none."""
    try:
        return importlib.util.find_spec(HOST) is not None
    except (HostMissingError, ValueError):
        return False


@contextlib.contextmanager
def legacy_names() -> Iterator[None]:
    """Provide ``torch._six`` and ``collections.Mapping`` during an import.

    data/build.py:11-12 and evaluation/testing.py:5 still import them; PyTorch 2 and Python 3.10 removed them.
    The host needs the names only at import, so both are removed again.
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
    """Import those modules of the host that are patched."""
    with legacy_names():
        for name in MODULES:
            importlib.import_module(f"{HOST}.{name}")


# The originals of everything that was replaced; whoever imported the host before still refers to them.
_replaced: list[Any] = []


def rebind(original: Any, replacement: Any) -> None:
    """Replace ``original`` by ``replacement`` in every loaded module of the host.

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
    """Return names outside of the host that still refer to what was replaced, e.g. ``["__main__.build_model"]``.

    Classes that derive from a replaced class are included.
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
    """Warn, when this package is imported, of names that were imported from the host too early."""
    stale = stale_names()
    if stale:
        warnings.warn(
            "fastreid was imported before fastreid_projects, and these names still refer to its unpatched code: "
            f"{', '.join(stale)}. Import fastreid_projects first",
            stacklevel=4,  # through watch_host, this package and the import statement
        )
