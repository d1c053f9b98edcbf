"""A short log, which starts with what the config changes and leaves out what files hold or what was logged before."""

from __future__ import annotations

import logging
from typing import Any

from fastreid_projects.config import config_leaves, load_config
from fastreid_projects.config.plugin_names import PLUGINS, plugin_opts
from fastreid_projects.records.record import environment

# Prefixes of what FastReID logs: config.yaml and run.json contain the first group, the second one adds nothing new.
_IN_FILES = (
    "Environment info:",
    "Command line arguments:",
    "Contents of args.config_file=",
    "Running with full config:",
    "Full config saved to",
    "Model:\n",
)
_NOTHING_NEW = (
    "Rank of current process: 0. World size: 1",
    "Using a generated random seed",
    "Inference done 1/1",
    "Total inference pure compute time",
)
_ONCE = ("=> Loaded ",)  # the table of a dataset, which every evaluation opens again


class Brief(logging.Filter):
    """Filter out the records that a short log leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record."""
        text = record.getMessage()
        if text.startswith((*_IN_FILES, *_NOTHING_NEW)):
            return False
        if text.startswith(_ONCE):
            known = text in self._seen
            self._seen.add(text)
            return not known
        return True


def shorten(logger: logging.Logger) -> None:
    """Let a logger leave out what :class:`Brief` filters out."""
    for handler in logger.handlers:
        handler.addFilter(Brief())


def describe_run(cfg: Any, config_file: str) -> str:
    """Describe the start of a run: versions, hardware, and the keys that its config changes."""
    found = environment()
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    hardware = found["hardware"]
    machine = ", ".join(hardware["gpus"]) or f"{hardware['cpu']}, {hardware['cores']} cores"
    changed = "\n".join(f"  {line}" for line in changed_keys(cfg))
    return (
        f"{versions} on {machine}\n"
        f"{config_file or 'The config'} and its bases change these defaults (config.yaml holds all keys):\n"
        f"{changed}"
    )


def changed_keys(cfg: Any) -> list[str]:
    """Return ``KEY: value`` of each key that differs from its default."""
    defaults = load_config("", plugin_opts(cfg))
    defaults[PLUGINS] = []
    before = dict(config_leaves(defaults))
    return [
        f"{key}: {value}"
        for key, value in config_leaves(cfg)
        if key not in before or _plain(before[key]) != _plain(value)
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
