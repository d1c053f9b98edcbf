"""What all processes have to agree on."""

from __future__ import annotations

from typing import Any

from fastreid.utils import comm

from fastreid_projects.errors import ConfigError


def main_value(value: Any) -> Any:
    """Return the main process's value on every process, for values read from files that the main process changes."""
    return comm.all_gather(value)[0]


def require_same(value: Any, sentence: str) -> None:
    """Raise ConfigError with the sentence on every process if the processes do not all have the same value."""
    if len(set(comm.all_gather(value))) > 1:
        raise ConfigError(sentence)
