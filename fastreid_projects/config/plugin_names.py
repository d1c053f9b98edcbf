"""``PLUGINS`` in the files of a config and on the command line: find and import them, and add their keys."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastreid_projects import plugins
from fastreid_projects.config.finding import find_file
from fastreid_projects.config.values import parse, set_key
from fastreid_projects.config.yaml_files import YamlFile
from fastreid_projects.errors import ConfigError
from fastreid_projects.plugin_modules.loading import is_path

PLUGINS = "PLUGINS"


class _Entry(NamedTuple):
    """An entry of ``PLUGINS``.

    Attributes:
        name: a module, or the path of a Python file.
        where: the place that names it, as the start of an error message.
    """

    name: str
    where: str

    @property
    def is_missing(self) -> bool:
        """Whether the entry is a file that does not exist."""
        return is_path(self.name) and not os.path.exists(self.name)

    @property
    def label(self) -> str:
        """The name of the file without its folder; with it for an ``__init__.py``."""
        path = Path(self.name)
        return f"{path.parent.name}/{path.name}" if path.name == "__init__.py" else path.name


def add_named_plugins(cfg: Any, files: Iterable[YamlFile], opts: Sequence[str]) -> None:
    """Import the plug-ins that a config names and add their keys, before any other key is set.

    Args:
        cfg: the default config.
        files: the files of the config, in the order in which they are merged. A Python file is looked up in the working
            folder, in the folder of the YAML file that names it, and in the folders above.
        opts: ``[KEY, VALUE, ...]`` from the command line.

    Raises:
        ConfigError: a plug-in is missing, fails, or is not a plug-in.
    """
    entries: list[_Entry] = []
    folder = ""
    for file in files:
        folder = os.path.dirname(file.path)
        entries += _entries(file.values.get(PLUGINS, []), folder, f"{file.path}: ")
    for key, text in zip(opts[0::2], opts[1::2], strict=False):
        if key == PLUGINS:
            entries += _entries(parse(text), folder, "")
    for entry in _present(entries):
        try:
            plugins.add_plugin(cfg, entry.name)
        except ConfigError as error:
            raise ConfigError(f"{entry.where}{PLUGINS}: {error}") from error


def plugin_opts(cfg: Any) -> list[str]:
    """Return the ``[KEY, VALUE]`` that gives another config of the same run this one's plug-ins; [] if it has none."""
    return [PLUGINS, repr(list(cfg[PLUGINS]))] if cfg[PLUGINS] else []


def _entries(value: Any, folder: str, where: str) -> list[_Entry]:
    """Return the entries of one value of ``PLUGINS``, with the path at which each file was found."""
    from yacs.config import CfgNode

    node = CfgNode({PLUGINS: []})
    set_key(node, PLUGINS, value, where)
    for name in node[PLUGINS]:
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{where}{PLUGINS} holds {name!r}; name a module or the path of a Python file")
    return [
        _Entry(find_file(os.path.expanduser(name), folder) if is_path(name) else name, where)
        for name in node[PLUGINS]
    ]


def _present(entries: Sequence[_Entry]) -> list[_Entry]:
    """Leave out a missing file if a later entry names a file with the same name.

    Raises:
        ConfigError: a file does not exist.
    """
    for number, entry in enumerate(entries):
        moved = [
            later for later in entries[number + 1 :] if later.label == entry.label and not later.is_missing
        ]
        if entry.is_missing and not moved:
            raise ConfigError(
                f"{entry.where}{PLUGINS} names {entry.name}, which does not exist; put the file there, or say on the "
                f"command line where it is: {PLUGINS} \"['path/to/{entry.label}']\""
            )
    return [entry for entry in entries if not entry.is_missing]
