"""List, read and set keys and values of a config, with a clear error if a value does not fit."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from fastreid_projects.config.old_names import about_old_key
from fastreid_projects.errors import ConfigError


def config_leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys and values of nested mappings."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from config_leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def all_keys(cfg: Any, prefix: str = "") -> list[str]:
    """Return all dotted keys of a config."""
    from yacs.config import CfgNode

    keys = []
    for name, value in cfg.items():
        keys += all_keys(value, f"{prefix}{name}.") if isinstance(value, CfgNode) else [f"{prefix}{name}"]
    return keys


def get_key(cfg: Any, key: str) -> Any:
    """Return the value of a dotted key that exists."""
    for name in key.split("."):
        cfg = cfg[name]
    return cfg


def set_key(cfg: Any, key: str, value: Any, where: str, text: str | None = None) -> None:
    """Set one dotted key, with a clear error for whatever is wrong with it.

    Args:
        cfg: a config that is not frozen.
        key: e.g. ``"SOLVER.BASE_LR"``.
        value: a value of the key's type, or an integer or text that can be converted to it.
        where: the start of the error message.
        text: the value as written on a command line.

    Raises:
        ConfigError: there is no such key, or the value does not fit.
    """
    from yacs.config import CfgNode

    node = cfg
    *parents, name = key.split(".")
    for parent in parents:
        node = node.get(parent) if isinstance(node, CfgNode) else None
    if not isinstance(node, CfgNode) or name not in node:
        today = about_old_key(key)
        if today:
            raise ConfigError(f"{where}there is no config key {key}; this key of FastReID before 1.0 {today}")
        group = _single_value(cfg, parents)
        if group:
            raise ConfigError(f"{where}there is no config key {key}: {group} not a group of keys")
        near = difflib.get_close_matches(key.upper(), all_keys(cfg), n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{where}there is no config key {key}{hint}")
    old = node[name]
    if isinstance(old, CfgNode):
        raise ConfigError(f"{where}{key} is a group of keys, not a single value ({value!r})")
    if isinstance(old, str) and text is not None and (value is None or isinstance(value, (int, float))):
        value = text  # the folder 1e3 is not called 1000.0
    node[name] = _fit(key, old, value, where)


def _single_value(cfg: Any, parents: Sequence[str]) -> str:
    """Return the first of the dotted parents that is a value instead of a group; "" if there is none."""
    from yacs.config import CfgNode

    for depth, parent in enumerate(parents, start=1):
        if parent not in cfg:
            return ""
        cfg = cfg[parent]
        if not isinstance(cfg, CfgNode):
            kind = "list" if isinstance(cfg, (tuple, list)) else "single value"
            return f"{'.'.join(parents[:depth])} is a {kind} and"
    return ""


def _fit(key: str, old: Any, value: Any, where: str) -> Any:
    if isinstance(value, str) and isinstance(old, (tuple, list)):
        value = parse(value)  # "('A', 'B')" in a YAML file is text
    if isinstance(old, str) and not isinstance(value, str) and isinstance(value, (int, float)):
        return str(value)
    if isinstance(old, bool) or isinstance(value, bool):
        fits = isinstance(old, bool) and isinstance(value, bool)
    elif isinstance(old, float) and isinstance(value, (int, float)):
        return float(value)
    elif isinstance(old, float) and isinstance(value, str):
        return _to_float(key, value, where)
    elif isinstance(old, (tuple, list)) and isinstance(value, (tuple, list)):
        return type(old)(_fit_elements(key, old, value, where))
    else:
        fits = old is None or isinstance(value, type(old))
    if not fits:
        raise ConfigError(
            f"{where}{key} has to be of type {type(old).__name__} like its default {old!r}, but it is {value!r}"
            f"{_how_to_write(old, value, quoted=not where)}"
        )
    return value


def _how_to_write(old: Any, value: Any, *, quoted: bool) -> str:
    """Return how to write the value, if it is clear what is meant; in quotes for a shell."""
    bracketed = isinstance(value, str) and value.strip()[:1] in ("(", "[")
    if isinstance(old, (tuple, list)) and isinstance(value, (str, int, float)) and not bracketed:
        sizes = re.findall(r"\d+", value) if isinstance(value, str) and _SEVERAL.fullmatch(value) else []
        fitting = type(old)(map(int, sizes) if sizes else [value])
        return f'; write "{fitting!r}"' if quoted else f"; write {fitting!r}"
    if isinstance(old, bool):
        return "; write True or False"
    return ""


_SEVERAL = re.compile(r"\d+(?:\s*[x×*;/ ]\s*\d+)+")  # 128x64
_KINDS: tuple[tuple[Any, str], ...] = ((str, "texts"), (int, "integers"), ((int, float), "numbers"))


def _fit_elements(key: str, old: Sequence[Any], values: Sequence[Any], where: str) -> Sequence[Any]:
    """Check that each value has the type of the default's elements, and return the values."""
    for kind, name in _KINDS:
        if old and all(isinstance(element, kind) for element in old):
            wrong = [v for v in values if isinstance(v, bool) or not isinstance(v, kind)]
            if wrong:
                raise ConfigError(
                    f"{where}{key} has to hold {name} like its default {old!r}, but it holds {wrong[0]!r}"
                )
            if name != "numbers":
                return values
            # A default that is read from a run's config.yaml stays as it was: [0.16, 1], not [0.16, 1.0].
            return old if list(values) == list(old) else [float(v) for v in values]
    return values


def _to_float(key: str, text: str, where: str) -> float:
    try:
        return float(text)  # YAML reads 1e-4 as text
    except ValueError:
        raise ConfigError(f"{where}{key} has to be a number, but it is '{text}'") from None


def parse(text: str) -> Any:
    """Parse a value of the command line: as a Python literal if it is one, else as text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
