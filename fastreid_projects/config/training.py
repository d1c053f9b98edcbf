"""Check the group ``TRAINING`` before anything is loaded."""

from __future__ import annotations

import inspect
import os
import shutil
from typing import Any

from fastreid.solver import optim as host_optim
from fastreid.utils import comm

from fastreid_projects.config.solvers import optimizer_names
from fastreid_projects.errors import ConfigError

_IN_ANY_ORDER = ("TrainingSampler", "ImbalancedDatasetSampler")


def check_training_group(cfg: Any) -> None:
    """Check that each key of ``TRAINING`` can have its effect; do nothing for a config without the group.

    Raises:
        ConfigError: one sentence with the key, its value and the way out.
    """
    if "TRAINING" not in cfg:
        return
    node = cfg.TRAINING
    if not 0 <= node.EMA < 1:
        raise ConfigError(
            f"TRAINING.EMA is {node.EMA} but has to be in [0, 1): 0 takes no average, 0.999 is usual."
        )
    if node.EMA and cfg.TEST.PRECISE_BN.ENABLED:
        raise ConfigError(
            "TRAINING.EMA averages the statistics of batch norms with the weights, but TEST.PRECISE_BN.ENABLED takes "
            "them from other weights: switch one of them off."
        )
    _check_accumulation(cfg)
    if node.FUSED:
        _check_fused(cfg.SOLVER.OPT)
    if node.COMPILE:
        _check_compile(cfg)


def _check_accumulation(cfg: Any) -> None:
    parts, together = cfg.TRAINING.ACCUMULATION, cfg.DATALOADER.NUM_INSTANCE
    if parts < 1:
        raise ConfigError(f"TRAINING.ACCUMULATION is {parts} but has to be at least 1.")
    batch = cfg.SOLVER.IMS_PER_BATCH // comm.get_world_size()
    if cfg.DATALOADER.SAMPLER_TRAIN in _IN_ANY_ORDER:
        together = 1
    if parts > 1 and batch % (parts * together):
        raise ConfigError(
            f"TRAINING.ACCUMULATION {parts} does not divide the {batch} images of a process (SOLVER.IMS_PER_BATCH) "
            f"into parts of whole identities (DATALOADER.NUM_INSTANCE {together}): change one of them."
        )


def fusible() -> list[str]:
    """Return the values of SOLVER.OPT whose update PyTorch can fuse."""
    return [
        name
        for name in optimizer_names()
        if "fused" in inspect.signature(getattr(host_optim, name).__init__).parameters
    ]


def _check_fused(name: str) -> None:
    if name not in fusible():
        raise ConfigError(
            f"TRAINING.FUSED is True, but PyTorch has no fused update for SOLVER.OPT {name}: use one of "
            f"{', '.join(fusible())}, or set TRAINING.FUSED False."
        )


def _check_compile(cfg: Any) -> None:
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None and shutil.which("clang++") is None:
        raise ConfigError(
            f"TRAINING.COMPILE is True, but there is no C++ compiler ({compiler}): install one, e.g. by "
            "'apt-get install g++', or set TRAINING.COMPILE False."
        )
    if cfg.MODEL.BACKBONE.get("ACTIVATION_CHECKPOINTING", False):
        raise ConfigError(
            "TRAINING.COMPILE and MODEL.BACKBONE.ACTIVATION_CHECKPOINTING both decide what a backbone keeps for its "
            "backward pass: set one of them False."
        )
