"""Reading a config: yaml files with ``_BASE_``, then ``KEY VALUE`` pairs; errors name the key and the file."""

from __future__ import annotations

import ast
import difflib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from fastreid_projects import plugins
from fastreid_projects.config.old_names import about_old_key
from fastreid_projects.config.old_paths import moved_config
from fastreid_projects.errors import ConfigError

_BASE = "_BASE_"
_STAGES = "STAGES"


def load_config(config_file: str = "", opts: Sequence[str] = ()) -> Any:
    """Host defaults and every paper's keys, overridden by a yaml and then by ``KEY VALUE`` pairs.

    An integer is taken for a float key, where yacs alone refuses it.

    Args:
        config_file: path of a yaml; "" for none.
        opts: ``[KEY, VALUE, KEY, VALUE, ...]``.

    Returns:
        The config, not frozen.

    Raises:
        ConfigError: a file is missing, empty or no yaml, its ``_BASE_`` goes round in circles, a key is unknown or a
            value has the wrong type.
    """
    cfg = plugins.get_cfg()
    if config_file:
        for path, values in _read_yamls(config_file, ()):
            for key, value in config_leaves(values):
                if key == _STAGES and isinstance(value, list):
                    value = _merge_stages(cfg[_STAGES], value)
                set_key(cfg, key, value, f"{path}: ")
        _resolve_paths(cfg, os.path.dirname(config_file))
    _check_pairs(cfg, opts)
    for key, text in zip(opts[0::2], opts[1::2], strict=True):
        if key.startswith(f"{_STAGES}."):
            _set_in_stage(cfg, key, _parse(text))
        else:
            set_key(cfg, key, _parse(text), "", text)
            _unset_in_stages(cfg, key)
    for key in set(opts[0::2]) & set(plugins.path_keys()):
        path = get_key(cfg, key)
        if not os.path.exists(path):
            set_key(cfg, key, moved_config(path) or path, "")
    return cfg


def _check_pairs(cfg: Any, opts: Sequence[str]) -> None:
    """The overrides are keys with a value each; where one lacks, the key before the next one is meant."""
    known = set(all_keys(cfg))
    for key, text in zip(opts[0::2], opts[1::2], strict=False):
        _check_text(key, text)
        _check_no_equals_sign(key, known)
        if text in known and key in known:
            raise ConfigError(f"{key} has no value: '{text}', which follows, is a key; write KEY VALUE pairs")
    if len(opts) % 2:
        _check_no_equals_sign(opts[-1], known)
        raise ConfigError(f"the overrides have to be KEY VALUE pairs, but '{opts[-1]}' stands alone")


def _check_text(key: str, text: str) -> None:
    """Bytes that are no UTF-8 could not be written to the log or to config.yaml."""
    try:
        f"{key} {text}".encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"{ascii(key)[1:-1]} is {text!a}, which is no text in UTF-8; write it in UTF-8"
        ) from None


def _check_no_equals_sign(key: str, known: Collection[str]) -> None:
    name, sign, value = key.partition("=")
    if sign and name in known:
        raise ConfigError(f"'{key}' is no KEY VALUE pair; write {name} {value}, without the sign =")


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a group, of which yaml silently drops the first."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Read a group of keys; see yaml."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # yaml's own sentence for a key that is a list or a group
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} stands here twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Read a node with all below it at once: yaml then refuses one that holds itself."""
        return super().construct_object(node, deep=True)


def _read_yamls(path: str, seen: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    """A yaml and its ``_BASE_``, that one's and so on, from the bottom: paths and values."""
    real = os.path.realpath(os.path.expanduser(path))
    if real in seen:
        raise ConfigError(f"the config {path} is its own {_BASE_NAME}; remove the circle")
    if not os.path.exists(real) and (today := moved_config(path)):
        return _read_yamls(today, seen)
    asked = f", named as {_BASE_NAME} by {seen[-1]}," if seen else ""
    if os.path.isdir(real):
        raise ConfigError(f"the config {path}{asked} is a folder; name a yaml file in it")
    if not os.path.isfile(real):
        raise ConfigError(f"the config {path}{asked} does not exist")
    try:
        with open(real, encoding="utf-8") as file:
            values = yaml.load(file, _Loader)
    except OSError as error:
        raise ConfigError(f"the config {path} cannot be read: {error.strerror}") from error
    except RecursionError:
        raise ConfigError(f"the config {path} is nested too deeply to be read; close its brackets") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"the config {path} is no valid yaml: {_one_line(error)}") from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"the config {path} is {'empty' if values is None else 'no mapping of keys to values'}"
        )
    base = values.pop(_BASE, None)
    if base is None:
        return [(path, values)]
    if not isinstance(base, str):
        raise ConfigError(f"the config {path} has a {_BASE_NAME} that is no path: {base!r}")
    base_path = os.path.join(os.path.dirname(path), os.path.expanduser(base))
    return [*_read_yamls(base_path, (*seen, real)), (path, values)]


_BASE_NAME = f"'{_BASE}'"


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _merge_stages(below: list[Any], above: list[Any]) -> list[Any]:
    """The stages of the list above, each going on from that of the same name below."""
    bases = {stage.get("NAME"): stage for stage in below if isinstance(stage, dict)}
    return [_merge(bases.get(s.get("NAME"), {}), s) if isinstance(s, dict) else s for s in above]


def _set_in_stage(cfg: Any, dotted: str, value: Any) -> None:
    """Set ``STAGES.<name>.KEY``; the key itself is checked where the stages are built."""
    _, name, *path = dotted.split(".")
    stages = {stage["NAME"]: stage for stage in cfg[_STAGES] if isinstance(stage, dict) and "NAME" in stage}
    if name not in stages or not path:
        known = ", ".join(stages) or "none"
        raise ConfigError(f"{dotted} is no key of a stage: write STAGES.<name>.KEY; stages are {known}")
    node = stages[name]
    for group in path[:-1]:
        node = node.setdefault(group, {})
        if not isinstance(node, dict):
            raise ConfigError(f"{dotted}: {group} is a single value, not a group of keys")
    node[path[-1]] = value


def _unset_in_stages(cfg: Any, key: str) -> None:
    """What the command line says holds in all stages of this config."""
    for stage in cfg[_STAGES]:
        if isinstance(stage, dict) and not stage.get("CONFIG"):
            _remove(stage, key.split("."))


def _remove(node: dict[str, Any], path: list[str]) -> None:
    below = node.get(path[0])
    if len(path) == 1:
        node.pop(path[0], None)
    elif isinstance(below, dict):
        _remove(below, path[1:])


def config_leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from config_leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def get_key(cfg: Any, key: str) -> Any:
    """Value of a dotted key that exists."""
    for name in key.split("."):
        cfg = cfg[name]
    return cfg


def set_key(cfg: Any, key: str, value: Any, where: str, text: str | None = None) -> None:
    """Set one dotted key, with a sentence for whatever is wrong with it.

    Args:
        cfg: a config, not frozen.
        key: e.g. ``"SOLVER.BASE_LR"``.
        value: of the key's type, or an integer or text that can be one.
        where: begins the sentence.
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
            raise ConfigError(f"{where}there is no config key {key}: {group} no group of keys")
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
    """The first of the dotted parents that is a value, not a group; "" where there is none."""
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
        value = _parse(value)  # "('A', 'B')" in a yaml is text
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
            f"{_how_to_write(old, value)}"
        )
    return value


def _how_to_write(old: Any, value: Any) -> str:
    """How the value would fit, where it is plain what is meant."""
    bracketed = isinstance(value, str) and value.strip()[:1] in ("(", "[")
    if isinstance(old, (tuple, list)) and isinstance(value, (str, int, float)) and not bracketed:
        return f"; write {type(old)([value])!r}"
    if isinstance(old, bool):
        return "; write True or False"
    return ""


_KINDS: tuple[tuple[Any, str], ...] = ((str, "texts"), (int, "integers"), ((int, float), "numbers"))


def _fit_elements(key: str, old: Sequence[Any], values: Sequence[Any], where: str) -> Sequence[Any]:
    """The values, each of which is what those of the default are: a text, an integer or a number."""
    for kind, name in _KINDS:
        if old and all(isinstance(element, kind) for element in old):
            wrong = [v for v in values if isinstance(v, bool) or not isinstance(v, kind)]
            if wrong:
                raise ConfigError(
                    f"{where}{key} has to hold {name} like its default {old!r}, but it holds {wrong[0]!r}"
                )
            return [float(v) for v in values] if name == "numbers" else values
    return values


def _to_float(key: str, text: str, where: str) -> float:
    try:
        return float(text)  # yaml reads 1e-4 as text
    except ValueError:
        raise ConfigError(f"{where}{key} has to be a number, but it is '{text}'") from None


def _parse(text: str) -> Any:
    """A command line value: a Python literal where it is one, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def all_keys(cfg: Any, prefix: str = "") -> list[str]:
    """All dotted keys of a config."""
    from yacs.config import CfgNode

    keys = []
    for name, value in cfg.items():
        keys += all_keys(value, f"{prefix}{name}.") if isinstance(value, CfgNode) else [f"{prefix}{name}"]
    return keys


def _resolve_paths(cfg: Any, folder: str) -> None:
    """Paths inside a yaml may be relative to the working folder, to the yaml's, or to one above that."""
    for key in plugins.path_keys():
        *parents, name = key.split(".")
        node = cfg
        for parent in parents:
            node = node[parent]
        path = node[name]
        node[name] = _found(path, folder)
    for stage in cfg[_STAGES]:
        if isinstance(stage, dict) and isinstance(stage.get("CONFIG"), str):
            stage["CONFIG"] = _found(stage["CONFIG"], folder)


def _found(path: str, folder: str) -> str:
    if not path or os.path.exists(path):
        return path
    own = Path(folder).absolute()
    folders = (own, *own.parents) if os.path.dirname(path) else (own,)  # a bare name means one folder
    found = next((above for above in folders if (above / path).is_file()), None)
    if found is not None:
        return str(found / path)
    moved = (moved_config(str(above / path)) for above in folders)
    return moved_config(path) or next(filter(None, moved), path)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
