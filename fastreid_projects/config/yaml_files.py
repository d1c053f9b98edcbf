"""Read the YAML files of a config, with the line of each key, after all their bases (``_BASE_``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from fastreid_projects.config.finding import find_base, find_config
from fastreid_projects.errors import ConfigError

_BASE = "_BASE_"


class YamlFile(NamedTuple):
    """One file of a config.

    Attributes:
        path: the path as given by the user.
        values: the nested values, without ``_BASE_``.
        lines: the line of each dotted key, from 1; ``STAGES.0.NAME`` in a list.
    """

    path: str
    values: dict[str, Any]
    lines: dict[str, int]

    def source(self, key: str) -> str:
        """Return file and line of a dotted key, such as ``configs/_blocks/sbs.yml:12``."""
        return f"{os.path.normpath(self.path)}:{self.lines.get(key, 1)}"


def read_with_bases(path: str) -> list[YamlFile]:
    """Read the file of a config and all its bases.

    ``_BASE_`` is a path, or a list of paths, of which a later one overrides an earlier one.

    Returns:
        The files in the order in which they are merged. A file that several files build on occurs once, before them.

    Raises:
        ConfigError: a file is missing, empty or not valid YAML, is its own ``_BASE_``, or is listed in a ``_BASE_``
            after a file that builds on it.
    """
    found: dict[str, YamlFile] = {}
    _collect(path, (), found)
    return list(found.values())


def _collect(path: str, above: tuple[str, ...], found: dict[str, YamlFile]) -> None:
    """Add the bases of a file, then the file itself; ``above`` are the files that build on it."""
    path = find_config(path, f", named as '{_BASE}' by {above[-1]}," if above else "")
    real = os.path.realpath(path)
    if real in above:
        between = " and ".join(os.path.basename(file) for file in above[above.index(real) + 1 :])
        through = f", through {between}" if between else ""
        raise ConfigError(
            f"the config {os.path.normpath(path)} is its own '{_BASE}'{through}; remove the circle"
        )
    if real in found:
        return
    file, bases = _read(path)
    before, direct = set(found), set[str]()
    for base in bases:
        base_path = find_base(base, os.path.dirname(path))
        base_real = os.path.realpath(base_path)
        if base_real in direct:
            raise ConfigError(f"the config {path} lists {base} twice in '{_BASE}'; remove one of them")
        direct.add(base_real)
        if base_real in found.keys() - before:
            raise ConfigError(
                f"the config {path} lists {base} in '{_BASE}' after a file that builds on it, where it would "
                "change nothing; remove it, or list it before that file"
            )
        _collect(base_path, (*above, real), found)
    found[real] = file


def _read(path: str) -> tuple[YamlFile, list[str]]:
    """Read one file; return it and the paths of its ``_BASE_``."""
    try:
        with open(path, encoding="utf-8") as file:
            values, lines = _load(file.read())
    except OSError as error:
        raise ConfigError(f"the config {path} cannot be read: {error.strerror}") from error
    except RecursionError:
        raise ConfigError(f"the config {path} is nested too deeply to be read; close its brackets") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"the config {path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"the config {path} is {'empty' if values is None else 'not a mapping of keys to values'}"
        )
    bases = values.pop(_BASE, None)
    bases = [] if bases is None else bases if isinstance(bases, list) else [bases]
    for base in bases:
        if not isinstance(base, str):
            raise ConfigError(f"the config {path} has a '{_BASE}' that is not a path: {base!r}")
    return YamlFile(path, values, lines), bases


class _Loader(yaml.SafeLoader):
    """A loader that refuses a key given twice in a group; PyYAML would silently drop the first."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Read a group of keys; see yaml."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # PyYAML raises its own error for a key that is a list or a group
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Read a node with everything below it at once, so that PyYAML refuses one that contains itself."""
        return super().construct_object(node, deep=True)


def _load(text: str) -> tuple[Any, dict[str, int]]:
    """Read the only document; return it and the line of each dotted key."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return (None, {}) if node is None else (loader.construct_document(node), dict(_lines(node)))
    finally:
        loader.dispose()


def _lines(node: yaml.Node, prefix: str = "") -> Iterator[tuple[str, int]]:
    pairs: list[tuple[Any, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        pairs = [(key.value, value) for key, value in node.value]
        yield from ((f"{prefix}{key.value}", key.start_mark.line + 1) for key, _ in node.value)
    elif isinstance(node, yaml.SequenceNode):
        pairs = list(enumerate(node.value))
    for name, value in pairs:
        yield from _lines(value, f"{prefix}{name}.")
