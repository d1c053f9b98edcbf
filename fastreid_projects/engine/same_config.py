"""Whether a training that is there had the config that is asked for now."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fastreid_projects.config import config_leaves
from fastreid_projects.config.old_paths import moved_config
from fastreid_projects.engine.stages import LAST, is_finished
from fastreid_projects.plugins import path_keys
from fastreid_projects.records.tables import read_record

# What does not change the numbers of a training, or is written by it.
WHERE = (
    "OUTPUT_DIR",
    "PLUGINS",
    "TRACKERS",
    "MODEL.DEVICE",
    "MODEL.HEADS.NUM_CLASSES",
    "SOLVER.AMP.ENABLED",
    "DATALOADER.NUM_WORKERS",
)


class Difference(NamedTuple):
    """A key with its value there and now."""

    key: str
    there: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} {self.there}, not {self.now}"


def config_there(folder: str) -> str | None:
    """The yaml of a finished or interrupted training's config, None where there is none to go on with.

    Raises:
        DataError: the record of a finished one is broken.
    """
    if is_finished(folder):
        return str(read_record(folder).get("config", "{}"))
    config = Path(folder, "config.yaml")
    return config.read_text(encoding="utf-8") if Path(folder, LAST).is_file() and config.is_file() else None


def differences(text: str, cfg: Any, free: Collection[str] = ()) -> list[Difference]:
    """Keys that a training had otherwise.

    Args:
        text: its config as yaml; keys that it lacks are newer than it and are let pass.
        cfg: the config now.
        free: keys that may differ, besides :data:`WHERE`.
    """
    there = dict(config_leaves(yaml.safe_load(text)))
    for key in set(path_keys()) & set(there):
        there[key] = moved_config(str(there[key])) or there[key]
    now = config_leaves(yaml.safe_load(cfg.dump()))
    return [
        Difference(key, there[key], value)
        for key, value in now
        if key not in (*WHERE, *free) and there.get(key, value) != value
    ]
