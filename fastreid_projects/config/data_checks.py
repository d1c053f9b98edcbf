"""Checks of what a config says about its datasets, before any of them is opened."""

from __future__ import annotations

from typing import Any

from fastreid.data.datasets import DATASET_REGISTRY

from fastreid_projects.data.draws import draws_gallery
from fastreid_projects.errors import ConfigError


def check_test_sets(cfg: Any) -> None:
    """Check what is said about DATASETS.TESTS.

    Raises:
        ConfigError: draws are averaged, but no test set draws.
    """
    number, tests = cfg.DATASETS.SPLIT_DRAWS, cfg.DATASETS.TESTS
    if number > 1 and not any(draws_gallery(DATASET_REGISTRY.get(name)) for name in tests):
        raise ConfigError(
            f"DATASETS.SPLIT_DRAWS is {number}, but query and gallery of DATASETS.TESTS ({', '.join(tests)}) are "
            "fixed: leave it 1 (VehicleID's sets draw their gallery)."
        )
