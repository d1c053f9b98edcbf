"""The interpreter's own stages, and the weights that they start from."""

from __future__ import annotations

import copy
import logging
import os
from typing import Any

from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from torch import nn

from fastreid_projects.errors import WeightsError

from .build import training_config_of_target
from .targets import FrozenTarget, trunk

logger = logging.getLogger(__name__)

_KEY = "MODEL.AMD.PRETRAIN_PATH"


def build_free_stages(cfg: Any, target: FrozenTarget) -> nn.ModuleList:
    """Return the interpreter's trainable stages N+1..5, and log what they start from.

    They start from ImageNet weights (sec. 4.2): those of ``MODEL.AMD.PRETRAIN_PATH``, else those that the target
    started from. If the target started from random weights, or the file that it started from no longer exists, they
    start from the target's own trained stages. With ``MODEL.WEIGHTS`` set, no pretrained weights are needed.

    Raises:
        WeightsError: ``MODEL.AMD.PRETRAIN_PATH`` does not exist, or it or the file that the target's config names
            does not hold weights of the target's backbone.
    """
    first = target.shared_stages
    fresh = None if cfg.MODEL.WEIGHTS or first == len(target.stages) else _pretrained_trunk(cfg)
    free = nn.ModuleList(copy.deepcopy(list(target.stages[first:])) if fresh is None else fresh[first:])
    for parameter in free.parameters():
        parameter.requires_grad_(True)
    return free


def _pretrained_trunk(cfg: Any) -> list[nn.Module] | None:
    """Return the five stages with pretrained weights, or None where there are none."""
    fresh = training_config_of_target(cfg)
    fresh.MODEL.HEADS.NUM_CLASSES = 1
    if cfg.MODEL.AMD.PRETRAIN_PATH:
        return _from_own_path(fresh, cfg.MODEL.AMD.PRETRAIN_PATH)
    if fresh.MODEL.BACKBONE.PRETRAIN:
        return _as_the_target_started(fresh, cfg.MODEL.AMD.TARGET.CONFIG)
    logger.info(
        "The interpreter's free stages start from the target's own stages, as the target's config sets "
        "MODEL.BACKBONE.PRETRAIN to False and %s is empty",
        _KEY,
    )
    return None


def _from_own_path(fresh: Any, path: str) -> list[nn.Module]:
    if not os.path.isfile(path):
        raise WeightsError(
            f"{_KEY} '{path}' does not exist; name ImageNet weights of the target's backbone, or leave it empty to "
            "start as the target's config does"
        )
    fresh.MODEL.BACKBONE.PRETRAIN = True
    fresh.MODEL.BACKBONE.PRETRAIN_PATH = path
    try:
        return _build(fresh, f"{path} ({_KEY})")
    except WeightsError as error:  # its message names the key of the target's config
        raise WeightsError(str(error).replace("MODEL.BACKBONE.PRETRAIN_PATH", _KEY)) from error


def _as_the_target_started(fresh: Any, config: str) -> list[nn.Module] | None:
    """Return the five stages with the weights that the target's config names, else with those of the host's cache.

    The host downloads what its cache lacks. None, with a warning, if the weights are not available.
    """
    backbone = fresh.MODEL.BACKBONE
    path = backbone.PRETRAIN_PATH
    if path and not os.path.isfile(path):
        _warn(f"the file {path} of the target's config does not exist; name one as {_KEY}")
        return None
    weights = path or f"ImageNet weights of {backbone.NAME} {backbone.DEPTH}"
    try:
        return _build(fresh, f"{weights} (MODEL.BACKBONE.PRETRAIN of the target's config)")
    except WeightsError as error:
        if path:
            raise WeightsError(f"the target's config {config}: {error}") from error
        _warn(str(error).replace("MODEL.BACKBONE.PRETRAIN_PATH", _KEY))
        return None


def _build(fresh: Any, weights: str) -> list[nn.Module]:
    stages = trunk(META_ARCH_REGISTRY.get(fresh.MODEL.META_ARCHITECTURE)(fresh))
    logger.info("The interpreter's free stages start from %s", weights)
    return stages


def _warn(reason: str) -> None:
    logger.warning(
        "The interpreter's free stages start from the target's own stages, not from pretrained weights: %s",
        reason,
    )
