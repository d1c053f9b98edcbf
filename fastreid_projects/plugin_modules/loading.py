"""Import external plug-ins: a file, a module, or the entry points of installed packages.

An error in a plug-in becomes a single sentence that names the plug-in and the line where it fails.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from fastreid_projects.errors import ConfigError, UserError
from fastreid_projects.plugin_modules import module_name

logger = logging.getLogger("fastreid.projects.plugins")

GROUP = "fastreid_projects.plugins"
LEFT_OUT: dict[str, str] = {}  # installed package -> the reason why its plug-in is not used
_SUFFIX = ".py"


class Plugin(NamedTuple):
    """A plug-in that has been imported.

    Attributes:
        name: the name in ``PLUGINS`` or of the entry point.
        module: the imported module.
        path: the path of its file, or of its folder if it is a package; "" for a module without files.
        sha256: the digest of the file, or of all Python files in the folder.
        package: name and version of the installed package that announces it; "" if ``PLUGINS`` names it.
    """

    name: str
    module: ModuleType
    path: str
    sha256: str
    package: str = ""

    def facts(self) -> dict[str, str]:
        """Return the entry for a run record; the name of a file is then without folder and suffix."""
        name = Path(self.path).stem if is_path(self.name) else self.name
        facts = {"name": name, "path": self.path, "sha256": self.sha256}
        return {**facts, "package": self.package} if self.package else facts


def is_path(name: str) -> bool:
    """Return whether an entry of ``PLUGINS`` is the path of a file rather than the name of a module."""
    return name.endswith(_SUFFIX) or os.sep in name


def canonical(name: str) -> str:
    """Return the name of a module as it is, or the path of a file as an absolute path."""
    return os.path.abspath(os.path.expanduser(name)) if is_path(name) else name


@functools.cache
def load_plugin(name: str) -> Plugin:
    """Import a plug-in once.

    Args:
        name: the dotted name of a module, or the absolute path of a Python file.

    Raises:
        ConfigError: it does not exist or fails; the message starts with its name.
    """
    target = _module_of_file(name) if is_path(name) else _checked_module(name)
    with failing_in_one_sentence(name, target), _registered_names_taken_back():
        module = _loaded_before(target) or importlib.import_module(target)
    path = _place(module)
    return Plugin(name, module, path, _digest(path))


@functools.cache
def installed_plugins() -> tuple[Plugin, ...]:
    """Import the plug-ins that installed packages announce; one that fails is left out with a warning."""
    plugins = []
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda p: (_package(p), p.name)):
        try:
            if not re.fullmatch(r"[\w.]+", point.value):
                raise ConfigError(f"{point.value} has to be just the name of a module")
            plugins.append(load_plugin(point.value)._replace(name=point.name, package=_package(point)))
        except ConfigError as error:
            leave_out(_package(point), str(error))
    return tuple(plugins)


def leave_out(package: str, reason: str) -> None:
    """Warn, once, of an installed package whose plug-in is not used, and keep the reason in LEFT_OUT."""
    if package not in LEFT_OUT:
        LEFT_OUT[package] = reason
        logger.warning(
            "The plug-in of the installed package %s is left out: %s; %s", package, reason, way_out(package)
        )


def way_out(package: str) -> str:
    """Return what to do about a package whose plug-in is left out."""
    return f"update the package, or run 'pip uninstall {package.partition(' ')[0]}'"


def _package(point: importlib.metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"


def _module_of_file(path: str) -> str:
    if not path.endswith(_SUFFIX):
        raise ConfigError(
            f"{path} is not a Python file; name a file that ends in {_SUFFIX} (for a package, its __init__.py), or a "
            "module with dots"
        )
    if not os.path.isfile(path):
        raise ConfigError(f"{path} does not exist; name its current path, or leave it out")
    return module_name(path)


def _checked_module(name: str) -> str:
    """Return the name of a module that can be found; finding it imports its parent packages."""
    if not re.fullmatch(r"\w+(\.\w+)*", name):
        raise ConfigError(f"'{name}' is neither the path of a {_SUFFIX} file nor the name of a module")
    with failing_in_one_sentence(name, name):
        try:
            spec = importlib.util.find_spec(name) if name not in sys.modules else True
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # a parent package imports something else that is missing
            spec = None
    if spec is None:
        raise ConfigError(
            f"there is no module {name}: install its package, set PYTHONPATH to the folder that it is in, or write "
            f"the path of its file, such as {name.replace('.', '/')}{_SUFFIX}"
        )
    return name


def _loaded_before(target: str) -> ModuleType | None:
    """Return the module as which the target's file is already loaded under another name, such as ``__main__``."""
    spec = None if target in sys.modules else importlib.util.find_spec(target)
    if spec is None or not spec.origin:
        return None
    name = os.path.basename(spec.origin)
    for module in list(sys.modules.values()):
        file = str(getattr(module, "__dict__", {}).get("__file__"))
        if os.path.basename(file) == name and os.path.realpath(file) == os.path.realpath(spec.origin):
            return module
    return None


@contextlib.contextmanager
def failing_in_one_sentence(name: str, target: str) -> Iterator[None]:
    """Turn an exception in a plug-in's code into a sentence that says where in its files it was raised.

    Args:
        name: the name of the plug-in, for the sentence.
        target: the name of its module.

    Raises:
        ConfigError: instead of any other exception.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        reason = f"{kind}{' '.join(str(error).split())}"
        file, line = _place_of(error, target)
        place = f" in line {line}" if line else ""
        place += f" of {file}" if file not in ("", name) else ""
        raise ConfigError(f"{name} fails{place}: {reason}") from error


def _place_of(error: BaseException, target: str) -> tuple[str, int]:
    """Return file and number of the innermost line in the plug-in's code; ("", 0) if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0
    package = target if target.startswith(__package__) else target.partition(".")[0]
    own = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if f"{frame.f_globals.get('__name__')}.".startswith(f"{package}.")
    ]
    return own[-1] if own else ("", 0)


@contextlib.contextmanager
def _registered_names_taken_back() -> Iterator[None]:
    """Forget what the modules of a failed import have registered, as they will register other objects next time."""
    known = registries()
    before = [set(registry) for registry in known]
    try:
        yield
    except BaseException:
        for registry, names in zip(known, before, strict=True):
            for name in set(registry) - names:
                if registry[name].__module__ not in sys.modules:
                    del registry[name]
        raise


def registries() -> list[dict[str, Any]]:
    """Return all registries that a plug-in can add to, by name: those of the project and of the host."""
    from fastreid.data.datasets import DATASET_REGISTRY
    from fastreid.modeling.backbones import BACKBONE_REGISTRY
    from fastreid.modeling.heads import REID_HEADS_REGISTRY
    from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

    from fastreid_projects.losses.registry import LOSSES
    from fastreid_projects.modeling.pooling import POOLING

    host = (DATASET_REGISTRY, BACKBONE_REGISTRY, REID_HEADS_REGISTRY, META_ARCH_REGISTRY)
    return [LOSSES, POOLING, *(registry._obj_map for registry in host)]


def _place(module: ModuleType) -> str:
    """Return the file of a module or the folder of a package; "" if it has neither."""
    file = getattr(module, "__file__", None) or ""
    return os.path.dirname(file) if os.path.basename(file) == "__init__.py" else file


def _digest(path: str) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all Python files below a folder."""
    place = Path(path)
    if not path or not place.exists():
        return ""
    if place.is_file():
        return hashlib.sha256(place.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(place.rglob(f"*{_SUFFIX}")):
        digest.update(f"{file.relative_to(place).as_posix()}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
