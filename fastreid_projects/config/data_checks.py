"""Check the config keys of the datasets before any dataset is opened."""

from __future__ import annotations

from typing import Any

from fastreid.data.datasets import DATASET_REGISTRY

from fastreid_projects.errors import ConfigError
from fastreid_projects.evaluation.draws import draws_gallery


def check_test_sets(cfg: Any) -> None:
    """Check the keys about DATASETS.TESTS.

    Raises:
        ConfigError: several draws of the gallery are to be averaged, but no test set draws its gallery.
    """
    number, tests = cfg.DATASETS.SPLIT_DRAWS, cfg.DATASETS.TESTS
    if number > 1 and not any(draws_gallery(DATASET_REGISTRY.get(name)) for name in tests):
        raise ConfigError(
            f"DATASETS.SPLIT_DRAWS is {number}, but query and gallery of DATASETS.TESTS ({', '.join(tests)}) are "
            "fixed: leave it 1 (VehicleID's sets draw their gallery)."
        )


def check_training_sets(cfg: Any) -> None:
    """Check the keys about DATASETS.NAMES and the size of their images.

    Raises:
        ConfigError: weights are never read or do not fit the sets, or images are cropped to more than their size.
    """
    sampler, weights, names = cfg.DATALOADER.SAMPLER_TRAIN, cfg.DATALOADER.SET_WEIGHT, cfg.DATASETS.NAMES
    if weights and sampler != "SetReWeightSampler":
        raise ConfigError(
            f"DATALOADER.SET_WEIGHT {list(weights)} is only read by DATALOADER.SAMPLER_TRAIN SetReWeightSampler, not "
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
    """Check that padded images are large enough: they are cropped to SIZE_TRAIN (data/transforms/build.py:69-75)."""
    if not (node.CROP.ENABLED and node.PADDING.ENABLED):
        return
    padded = [side + 2 * node.PADDING.SIZE for side in (*node.CROP.SIZE, *node.CROP.SIZE)[:2]]
    wanted = [*node.SIZE_TRAIN, *node.SIZE_TRAIN][:2]
    if any(have < want for have, want in zip(padded, wanted, strict=True)):
        raise ConfigError(
            f"INPUT.CROP.SIZE {list(node.CROP.SIZE)} and INPUT.PADDING.SIZE {node.PADDING.SIZE} give images of "
            f"{padded}, which padding crops to INPUT.SIZE_TRAIN {list(node.SIZE_TRAIN)}: make both sizes equal, or "
            "set INPUT.PADDING.ENABLED False."
        )
