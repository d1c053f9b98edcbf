"""Checks of what a config says about its datasets, before any of them is opened."""

from __future__ import annotations

from typing import Any

from fastreid.data.datasets import DATASET_REGISTRY

from fastreid_projects.errors import ConfigError
from fastreid_projects.evaluation.draws import draws_gallery


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


def check_training_sets(cfg: Any) -> None:
    """Check what is said about DATASETS.NAMES and the size of their images.

    Raises:
        ConfigError: weights that nothing reads or that do not fit the sets, or images that are cropped to more than
            they are.
    """
    sampler, weights, names = cfg.DATALOADER.SAMPLER_TRAIN, cfg.DATALOADER.SET_WEIGHT, cfg.DATASETS.NAMES
    if weights and sampler != "SetReWeightSampler":
        raise ConfigError(
            f"DATALOADER.SET_WEIGHT {list(weights)} is read by DATALOADER.SAMPLER_TRAIN SetReWeightSampler alone, not "
            f"by {sampler}: change one of them."
        )
    whole = all(isinstance(weight, int) and weight > 0 for weight in weights)
    if weights and not (whole and len(weights) == len(names)):
        raise ConfigError(
            f"DATALOADER.SET_WEIGHT is {list(weights)} but has to be a whole number above 0 for each of the "
            f"{len(names)} DATASETS.NAMES ({', '.join(names)}), or empty for equal shares."
        )
    _check_crops(cfg.INPUT)


def _check_crops(node: Any) -> None:
    """Padding is followed by a crop to SIZE_TRAIN, of what CROP has left (data/transforms/build.py:69-75)."""
    if not (node.CROP.ENABLED and node.PADDING.ENABLED):
        return
    padded = [side + 2 * node.PADDING.SIZE for side in (*node.CROP.SIZE, *node.CROP.SIZE)[:2]]
    wanted = [*node.SIZE_TRAIN, *node.SIZE_TRAIN][:2]
    if any(have < want for have, want in zip(padded, wanted, strict=True)):
        raise ConfigError(
            f"INPUT.CROP.SIZE {list(node.CROP.SIZE)} and INPUT.PADDING.SIZE {node.PADDING.SIZE} give images of "
            f"{padded}, which padding then crops to INPUT.SIZE_TRAIN {list(node.SIZE_TRAIN)}: give both one size, or "
            "set INPUT.PADDING.ENABLED False."
        )
