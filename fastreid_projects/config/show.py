"""Show a merged config as YAML, with the file and line from which each value comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from fastreid_projects.config.values import all_keys, get_key

_STAGES = "STAGES"
_COLUMN = 60  # the last column at which comments start, unless the value is longer
COMMAND_LINE = "command line"
DEFAULT = "default"

_Line = tuple[str, str]  # YAML, comment


def show_config(
    cfg: Any, sources: Mapping[str, str], defaults: Any, *, title: str, everything: bool = False
) -> str:
    """Return the config as YAML that can be used as a ``--config-file``.

    Each value is followed by its source, and by its default if that differs.

    Args:
        cfg: the config.
        sources: dotted key -> the source of its value; a key that is missing here has the source :data:`DEFAULT`.
        defaults: the default config.
        title: the name of the config in the first comment.
        everything: show all keys, not only those that differ from their defaults or are given on the command line.
    """
    keys = all_keys(cfg)
    changed = {key for key in keys if get_key(cfg, key) != get_key(defaults, key)}
    typed = {key for key in keys if sources.get(key) == COMMAND_LINE}
    lines = list(_group(cfg, "", set(keys) if everything else changed | typed, changed, sources, defaults))
    head = (
        f"# {title}: {len(changed)} of {len(keys)} keys differ from the defaults of FastReID and this project"
    )
    return "\n".join([head, *_aligned(lines)])


def _group(
    node: Mapping[str, Any],
    prefix: str,
    keys: set[str],
    changed: set[str],
    sources: Mapping[str, str],
    defaults: Any,
) -> Iterator[_Line]:
    """Yield the lines of a group of keys, not indented."""
    for name, value in node.items():
        key = f"{prefix}{name}"
        if key in keys:
            source = sources.get(key, DEFAULT)
            if key == _STAGES and value:
                yield f"{name}:", source
                for stage in value:
                    yield from _stage(stage, sources)
            else:
                note = f"; default {_text(get_key(defaults, key))}" if key in changed else ""
                yield f"{name}: {_text(value)}", source + note
        elif isinstance(value, Mapping):
            below = list(_group(value, f"{key}.", keys, changed, sources, defaults))
            if below:
                yield f"{name}:", ""
                yield from ((f"  {line}", note) for line, note in below)


def _stage(stage: Mapping[str, Any], sources: Mapping[str, str]) -> Iterator[_Line]:
    """Yield the lines of an entry of STAGES."""
    lines = _leaves(stage, f"{_STAGES}.{stage['NAME']}.", sources)
    for number, (line, note) in enumerate(lines):
        yield f"{'  ' if number else '- '}{line}", note


def _leaves(node: Mapping[str, Any], prefix: str, sources: Mapping[str, str]) -> Iterator[_Line]:
    for name, value in node.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield f"{name}:", ""
            yield from ((f"  {line}", note) for line, note in _leaves(value, f"{key}.", sources))
        else:
            yield f"{name}: {_text(value)}", sources.get(key, DEFAULT)


def _text(value: Any) -> str:
    """Return a value as one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("...\n").rstrip("\n")


def _aligned(lines: list[_Line]) -> list[str]:
    width = min(_COLUMN, max((len(line) for line, note in lines if note), default=0))
    return [f"{line:<{width}}  # {note}" if note else line for line, note in lines]
