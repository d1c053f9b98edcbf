"""``MODEL.BACKBONE.NAME build_timm_backbone``: any image model of timm with a feature map, named by ``DEPTH``."""

from __future__ import annotations

import logging
from typing import Any

from fastreid.modeling.backbones import BACKBONE_REGISTRY

from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.backbones.timm_models import (
    Options,
    build_model,
    is_transformer,
    is_vision_transformer,
)
from fastreid_projects.modeling.backbones.timm_names import check_name, pixels_of
from fastreid_projects.modeling.pooling import ClassTokenPooling, other_channels

logger = logging.getLogger("fastreid.projects.backbones")

# With the host's default of STRIDE_SIZE, patches do not overlap, whatever their size.
_HOSTS_STRIDE = (16, 16)
_ONE_CELL = ("Identity", "Flatten")


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: Any) -> Any:
    """Build the model of timm that ``MODEL.BACKBONE.DEPTH`` names.

    Raises:
        ConfigError: a value cannot be used; the message names its key.
        WeightsError: the pretrained weights cannot be found or loaded.
        MissingExtraError: timm is not installed.
    """
    backbone, pool = cfg.MODEL.BACKBONE, cfg.MODEL.HEADS.POOL_LAYER
    name = backbone.DEPTH
    check_name(name)
    if pool in _ONE_CELL:
        raise ConfigError(
            f"MODEL.HEADS.POOL_LAYER {pool} would use only the first cell of the map of build_timm_backbone: use "
            "GlobalAvgPool, or ClassTokenPooling for a vision transformer"
        )
    if is_vision_transformer(name) and backbone.LAST_STRIDE != 1:
        raise ConfigError(
            f"MODEL.BACKBONE.LAST_STRIDE {backbone.LAST_STRIDE}: {name} of timm is a vision transformer and has no "
            "stages; leave it out"
        )
    model = build_model(name, _options(cfg), pretrained=backbone.PRETRAIN)
    if model.num_features != backbone.FEAT_DIM:
        raise other_channels(backbone.FEAT_DIM, f"{name} of timm", model.num_features)
    say_pixels(cfg, name)
    return model


def _options(cfg: Any) -> Options:
    backbone, stride = cfg.MODEL.BACKBONE, None
    fixed = is_transformer(backbone.DEPTH)
    if fixed and tuple(backbone.STRIDE_SIZE) != _HOSTS_STRIDE:
        stride = tuple(backbone.STRIDE_SIZE)
    rates = {
        "drop_path_rate": "DROP_PATH_RATIO",
        "proj_drop_rate": "DROP_RATIO",
        "attn_drop_rate": "ATT_DROP_RATE",
    }
    return Options(
        size=_image_size(cfg, backbone.DEPTH) if fixed else (0, 0),
        last_stride=backbone.LAST_STRIDE,
        patch_stride=stride,
        class_token=ClassTokenPooling.__name__ == cfg.MODEL.HEADS.POOL_LAYER,
        dropout={rate: backbone[key] for rate, key in rates.items()} if fixed else {},
    )


def _image_size(cfg: Any, name: str) -> tuple[int, int]:
    """Return the image size, which has to be the same in training and test."""
    crop = cfg.INPUT.CROP
    key, train = (
        ("INPUT.CROP.SIZE", crop.SIZE) if crop.ENABLED else ("INPUT.SIZE_TRAIN", cfg.INPUT.SIZE_TRAIN)
    )
    test = cfg.INPUT.SIZE_TEST
    if len(test) != 2 or min(test) <= 0 or list(train) != list(test):
        raise ConfigError(
            f"{key} {list(train)} and INPUT.SIZE_TEST {list(test)} have to be the same size [height, width]: {name} of "
            "timm is a transformer, which is built for one size"
        )
    return test[0], test[1]


def say_pixels(cfg: Any, name: str) -> None:
    """Log how images are normalised, and warn if timm's weights were trained with another normalisation."""
    wanted, mean, std = pixels_of(name), list(cfg.MODEL.PIXEL_MEAN), list(cfg.MODEL.PIXEL_STD)
    given = f"MODEL.PIXEL_MEAN {_numbers(mean)} and PIXEL_STD {_numbers(std)}"
    if wanted is None or _near(wanted.mean + wanted.std, mean + std):
        logger.info("%s of timm: images are normalised with %s, as its weights expect", name, given)
        return
    logger.warning(
        "%s of timm: images are normalised with %s, but its weights were trained with %s and %s",
        name,
        given,
        _numbers(wanted.mean),
        _numbers(wanted.std),
    )


def _near(expected: list[float], found: list[float]) -> bool:
    return all(abs(a - b) < 0.01 for a, b in zip(expected, found, strict=True))


def _numbers(values: list[float]) -> str:
    return f"[{', '.join(f'{value:.2f}' for value in values)}]"
