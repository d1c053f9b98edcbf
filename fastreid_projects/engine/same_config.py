"""Compare the config of an earlier run with the present one."""

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

# Keys that do not change the results of a training run, or that the run itself sets.
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
    """A key with its earlier and its present value."""

    key: str
    there: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} {self.there}, not {self.now}"


def config_there(folder: str) -> str | None:
    """Return the config of a finished or interrupted run as YAML; None if there is no run to resume.

    Raises:
        DataError: the record of a finished run is broken.
    """
    if is_finished(folder):
        return str(read_record(folder).get("config", "{}"))
    config = Path(folder, "config.yaml")
    return config.read_text(encoding="utf-8") if Path(folder, LAST).is_file() and config.is_file() else None


def differences(text: str, cfg: Any, free: Collection[str] = ()) -> list[Difference]:
    """Return the keys that had other values in an earlier run.

    Args:
        text: the earlier config as YAML; a key that it lacks was added later and counts as equal.
        cfg: the present config.
        free: keys that may differ, in addition to :data:`WHERE`.
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
