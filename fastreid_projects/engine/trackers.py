"""Trackers that record a training run in addition to ``log.txt`` and ``metrics.json``: TensorBoard, W&B, MLflow.

``TRACKERS ['tensorboard', 'wandb']`` names them. Each gets all losses, learning rates and times, and the metrics of
every evaluation, including the last one. Environment variables of the trackers say where they send them
(``WANDB_PROJECT``, ``WANDB_MODE``, ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from fastreid.utils.events import EventWriter, TensorboardXWriter, get_event_storage

from fastreid_projects.errors import ConfigError
from fastreid_projects.extras import need
from fastreid_projects.host.utils.events import fresh_scalars

_WINDOW = 20  # a loss is the median of so many iterations, as in the host's writers


class WandbTracker(EventWriter):
    """A run of Weights & Biases, named and grouped by OUTPUT_DIR; a resumed run is another run of the same group.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    def __init__(self, cfg: Any) -> None:
        wandb = need("wandb", "trackers", "TRACKERS wandb")
        self._window_size = _WINDOW
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "fastreid-projects"),
            name=cfg.OUTPUT_DIR,
            group=cfg.OUTPUT_DIR,
            dir=cfg.OUTPUT_DIR,
            config=yaml.safe_load(cfg.dump()),
        )

    def write(self) -> None:
        """Send the values that are new."""
        for iteration, scalars in fresh_scalars(self, get_event_storage()).items():
            self._run.log(dict(scalars), step=iteration)

    def close(self) -> None:
        """End the run."""
        self._run.finish()


class MlflowTracker(EventWriter):
    """A run of MLflow, named by OUTPUT_DIR, with the config as ``config.yaml``.

    Raises:
        MissingExtraError: mlflow is not installed.
    """

    def __init__(self, cfg: Any) -> None:
        self._mlflow = need("mlflow", "trackers", "TRACKERS mlflow")
        self._window_size = _WINDOW
        self._mlflow.start_run(run_name=cfg.OUTPUT_DIR)
        self._mlflow.log_text(cfg.dump(), "config.yaml")

    def write(self) -> None:
        """Send the values that are new, under names that MLflow allows."""
        for iteration, scalars in fresh_scalars(self, get_event_storage()).items():
            named = {re.sub(r"[^\w./ -]", "_", name): value for name, value in scalars.items()}
            self._mlflow.log_metrics(named, step=iteration)

    def close(self) -> None:
        """End the run."""
        self._mlflow.end_run()


TRACKERS: Mapping[str, Callable[[Any], EventWriter]] = {
    "tensorboard": lambda cfg: TensorboardXWriter(cfg.OUTPUT_DIR),
    "wandb": WandbTracker,
    "mlflow": MlflowTracker,
}


def build_trackers(cfg: Any) -> list[EventWriter]:
    """Return the writers that ``TRACKERS`` names.

    Raises:
        ConfigError: a name is unknown.
        MissingExtraError: the package of a tracker is not installed.
    """
    unknown = [name for name in cfg.TRACKERS if name not in TRACKERS]
    if unknown:
        raise ConfigError(f"TRACKERS names {unknown[0]}; known are {', '.join(TRACKERS)}")
    return [TRACKERS[name](cfg) for name in dict.fromkeys(cfg.TRACKERS)]
