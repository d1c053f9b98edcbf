"""Build a model of timm as a backbone: its image size, its last stride, and its layers without the head."""

from __future__ import annotations

import functools
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fastreid_projects.errors import ConfigError, WeightsError
from fastreid_projects.modeling.backbones.maps import MapBackbone, PatchBackbone, StagedBackbone, derive
from fastreid_projects.modeling.backbones.stages import find_groups, remove_head, trace
from fastreid_projects.modeling.backbones.strides import unstride
from fastreid_projects.modeling.backbones.timm_names import check_name, require_timm

_FREE_SIZE = (128, 64)  # size of the image to test a model without a fixed size
# Arguments that not every model has, as its size is free or never checked.
_IF_KNOWN = ("img_size", "dynamic_img_size", "strict_img_size")
_WAY_OUT = (
    "give a local file as MODEL.BACKBONE.PRETRAIN_PATH, or start from random weights with "
    "MODEL.BACKBONE.PRETRAIN False"
)


class Options(NamedTuple):
    """The options of a model.

    Attributes:
        size: height and width of the images, for which transformers are built.
        last_stride: 1 keeps the resolution of the last stage; not for vision transformers.
        patch_stride: distance of a vision transformer's patches, which overlap if it is smaller than their size; None
            for their size.
        class_token: whether a vision transformer returns its class token instead of its patches.
        dropout: timm's name of a rate (``drop_path_rate``) -> rate, for transformers.
    """

    size: tuple[int, int]
    last_stride: int = 1
    patch_stride: tuple[int, int] | None = None
    class_token: bool = False
    dropout: Mapping[str, float] = MappingProxyType({})


def build_model(name: str, options: Options, *, pretrained: bool = False) -> Any:
    """Build a model of timm as a backbone.

    Args:
        name: timm's name, e.g. ``"resnet50.a1_in1k"``.
        options: see :class:`Options`.
        pretrained: whether to load the weights of timm's hub, from the cache or by a download; else they are random.

    Returns:
        A :class:`~.maps.TimmBackbone`.

    Raises:
        ConfigError: timm does not have this model, or it does not support the options.
        WeightsError: the hub has no weights, or cannot be reached.
        MissingExtraError: timm is not installed.
    """
    check_name(name)
    build = _build_patches if is_vision_transformer(name) else _build_maps
    return build(name, options, pretrained)


def is_transformer(name: str) -> bool:
    """Return whether a model is built for one image size: vision transformers, Swin and similar models."""
    known = require_timm().get_pretrained_cfg(name)
    return known is not None and bool(known.fixed_input_size)


def is_vision_transformer(name: str) -> bool:
    """Return whether the number of patches is the same in all blocks of a model."""
    return is_transformer(name) and _facts(name).patch is not None


def channels_of(name: str) -> int:
    """Return the number of channels of a model's map."""
    return _facts(name).channels


def _build_patches(name: str, options: Options, pretrained: bool) -> Any:
    stride, patch = options.patch_stride, _facts(name).patch or (1, 1)
    size = options.size if stride is None else _side_by_side(options.size, patch, stride)
    model = _create(name, {"img_size": size, "dynamic_img_size": False, **options.dropout}, pretrained)
    if options.class_token and model.cls_token is None:
        raise ConfigError(
            f"MODEL.HEADS.POOL_LAYER ClassTokenPooling: {name} of timm has no class token; use GlobalAvgPool"
        )
    if stride is None:
        _check_patches(name, options.size, patch)
    else:
        model.patch_embed.proj.stride, model.patch_embed.img_size = stride, options.size
    convert = _converter(model)
    remove_head(model, trace(model, options.size).maps)
    grid, class_token = model.patch_embed.grid_size, options.class_token
    return derive(model, PatchBackbone, convert=convert, grid=grid, class_token=class_token)


def _build_maps(name: str, options: Options, pretrained: bool) -> Any:
    fixed = is_transformer(name)
    arguments = {"img_size": options.size, "strict_img_size": False, **options.dropout} if fixed else {}
    model = _create(name, arguments, pretrained)
    convert = _converter(model)
    if not fixed and options.last_stride == 1:
        unstride(model, model.feature_info[-2]["module"])
    size = options.size if fixed else _FREE_SIZE
    maps, passed = trace(model, size)
    channels_last = _is_channels_last(name, model, maps)
    height = maps.shape[1] if channels_last else maps.shape[2]
    _check_map(name, model, options, height / size[0])
    groups = find_groups(model, passed, size)
    remove_head(model, maps)
    common = {"convert": convert, "channels_last": channels_last}
    if groups is None:
        return derive(model, MapBackbone, **common)
    return derive(model, StagedBackbone, groups=groups, **common)


class _Facts(NamedTuple):
    """Facts about a model that are needed before it is built: the size of its patches, if any, and its channels."""

    patch: tuple[int, int] | None
    channels: int


@functools.cache
def _facts(name: str) -> _Facts:
    """Inspect the model, without allocating its weights if the installed timm supports that."""
    timm = require_timm()
    try:
        with torch.device("meta"):
            model = timm.create_model(name, num_classes=0)
    except RuntimeError:
        model = timm.create_model(name, num_classes=0)
    patches = hasattr(model, "num_prefix_tokens") and hasattr(model, "blocks")
    return _Facts(tuple(model.patch_embed.patch_size) if patches else None, int(model.num_features))


def _converter(model: nn.Module) -> Any:
    return vars(sys.modules[type(model).__module__]).get("checkpoint_filter_fn")


def _create(name: str, arguments: dict[str, Any], pretrained: bool) -> Any:
    """Call timm, without the arguments that this model does not support."""
    timm = require_timm()
    known = timm.get_pretrained_cfg(name)
    if pretrained and (known is None or not known.has_weights):
        raise WeightsError(f"timm has no pretrained weights for {name}: {_WAY_OUT}.")
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    try:
        hub.setLevel(logging.ERROR)  # it warns at each retry
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **arguments)
    except TypeError as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown is None or unknown[1] not in arguments:
            raise
        if unknown[1] not in _IF_KNOWN and arguments[unknown[1]]:
            raise ConfigError(
                f"{name} of timm has no {unknown[1]}; set its rate, {arguments[unknown[1]]}, to 0.0"
            ) from error
        return _create(name, {k: v for k, v in arguments.items() if k != unknown[1]}, pretrained)
    except Exception as error:  # errors of the hub, its HTTP library and the file have no common base
        if not pretrained:
            raise
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"The pretrained weights of {name} could not be loaded from timm's hub ({reason}): {_WAY_OUT}."
        ) from error
    finally:
        hub.setLevel(level)


def _side_by_side(size: Sequence[int], patch: Sequence[int], stride: Sequence[int]) -> tuple[int, ...]:
    """Return the image size with as many adjacent patches as these images have overlapping ones."""
    return tuple((s - p) // step * p + p for s, p, step in zip(size, patch, stride, strict=True))


def _check_patches(name: str, size: Sequence[int], patch: Sequence[int]) -> None:
    if all(side % own == 0 for side, own in zip(size, patch, strict=True)):
        return
    near = [max(round(side / own), 1) * own for side, own in zip(size, patch, strict=True)]
    raise ConfigError(
        f"images of {list(size)} cannot be cut into the patches of {list(patch)} pixels of {name}: set "
        f"INPUT.SIZE_TRAIN and INPUT.SIZE_TEST to {near}"
    )


def _is_channels_last(name: str, model: Any, maps: Tensor) -> bool:
    if maps.dim() == 4 and model.num_features in (maps.shape[1], maps.shape[3]):
        return bool(maps.shape[1] != model.num_features)
    raise ConfigError(
        f"MODEL.BACKBONE.DEPTH {name}: this model of timm gives {tuple(maps.shape)} and no map of its "
        f"{model.num_features} channels, so it cannot be a backbone"
    )


def _check_map(name: str, model: Any, options: Options, share: float) -> None:
    """Refuse options that a model with a map does not support; ``share`` is map height divided by image height."""
    if options.patch_stride is not None:
        raise ConfigError(
            f"MODEL.BACKBONE.STRIDE_SIZE {options.patch_stride} is for the patches of vision transformers, and {name} "
            "of timm is another kind of model; leave it out"
        )
    if options.class_token:
        raise ConfigError(
            f"MODEL.HEADS.POOL_LAYER ClassTokenPooling: {name} of timm is not a vision transformer and has no class "
            "token; use GlobalAvgPool"
        )
    if options.last_stride == 1 and share < 2 / model.feature_info[-1]["reduction"]:
        raise ConfigError(
            f"MODEL.BACKBONE.LAST_STRIDE 1: the last stage of {name} of timm cannot keep its resolution; set "
            "MODEL.BACKBONE.LAST_STRIDE 2, and use larger images if the map is too small"
        )
