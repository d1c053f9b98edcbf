"""Normalise images for weights of timm as their own config says, unless a config of the run says otherwise."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastreid_projects.errors import MissingExtraError
from fastreid_projects.modeling.backbones.timm_names import BUILDERS, pixels_of

MEAN, STD = "MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD"


def take_pixels(cfg: Any, given: Collection[str]) -> dict[str, str]:
    """Set MODEL.PIXEL_MEAN and MODEL.PIXEL_STD to those that a model of timm was trained with.

    Nothing is set if a config sets one of them, or names another backbone. The values depend only on the model's name,
    so that training and evaluation agree; a run's ``config.yaml`` contains both.

    Args:
        cfg: the merged config, not frozen.
        given: the keys that files or the command line set.

    Returns:
        The source of the keys that were set.
    """
    from fastreid.config.defaults import _C

    model = cfg.MODEL
    plain = model.PIXEL_MEAN == _C.MODEL.PIXEL_MEAN and model.PIXEL_STD == _C.MODEL.PIXEL_STD
    if model.BACKBONE.NAME not in BUILDERS or not plain or {MEAN, STD} & set(given):
        return {}
    try:
        found = pixels_of(model.BACKBONE.DEPTH)
    except MissingExtraError:  # reported when the backbone is checked
        return {}
    if found is None:
        return {}
    model.PIXEL_MEAN, model.PIXEL_STD = found
    return dict.fromkeys((MEAN, STD), f"timm's weights of {model.BACKBONE.DEPTH}")
