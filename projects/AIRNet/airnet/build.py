"""Build AIR-Net's parts from a config (shared stages, copies of the 5th stage, heads), and check the config."""

from __future__ import annotations

import copy
import string
from collections.abc import Sequence
from typing import Any

import torch
from fastreid.modeling.backbones import build_backbone
from fastreid.modeling.heads import REID_HEADS_REGISTRY, EmbeddingHead, build_heads
from torch import Tensor, nn

from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.pooling import pooling_layers, refuse_pooling

from .pooling import AttentionPooling, context_block

STAGES = ("layer1", "layer2", "layer3", "layer4")
# With a single position in a direction, attention over positions has no choice, and all poolings are alike.
LEAST_MAP = 2
# Layers in the host's module of pooling layers that do not pool a map to (N, C, 1, 1).
_NO_POOLING = ("Flatten", "Identity")
_VARIANTS = '[["GlobalMaxPool"], ["GlobalMaxPool", "AttentionPooling"]]'


def build_parts(cfg: Any) -> tuple[nn.Module, nn.ModuleList, nn.ModuleDict]:
    """Build the shared stages, one copy of the 5th stage for each branch, and one head for each representation.

    The heads are called ``1``, ``2a``, ``2b`` after the paper's branches.

    Raises:
        ConfigError: the config names a variant that does not exist, contradicts itself, or does not fit the backbone
            or the image size.
    """
    check_variant(cfg)
    trunk = build_backbone(cfg)
    missing = [name for name in STAGES if not isinstance(getattr(trunk, name, None), nn.Sequential)]
    if missing:
        raise ConfigError(
            f"MODEL.BACKBONE.NAME {cfg.MODEL.BACKBONE.NAME} of depth {cfg.MODEL.BACKBONE.DEPTH} has no {missing[0]}, "
            "and AIR-Net copies the last of four stages layer1 to layer4; use build_resnet_backbone, or a ResNet of "
            "timm"
        )
    last = trunk.layer4
    branches = nn.ModuleList(copy.deepcopy(last) for _ in cfg.MODEL.AIRNET.BRANCHES)
    trunk.layer4 = nn.Sequential()  # the shared stages are the host's backbone without its last stage
    check_maps(cfg, trunk, branches[0])
    _add_context(trunk, cfg.MODEL.AIRNET.CONTEXT_AFTER, branches[0])
    return trunk, branches, _build_heads(cfg)


def check_variant(cfg: Any) -> None:
    """Check ``MODEL.AIRNET`` before anything is built.

    Raises:
        ConfigError: a value is wrong; the message names the key and a way out.
    """
    branches = cfg.MODEL.AIRNET.BRANCHES
    if not branches or not all(isinstance(names, (list, tuple)) and names for names in branches):
        raise ConfigError(
            f"MODEL.AIRNET.BRANCHES is {branches!r}; it has to hold a list of pooling layers for each branch, like "
            f"{_VARIANTS}"
        )
    for number, names in enumerate(branches, 1):
        _check_branch(number, names)
    _check_head(cfg.MODEL.HEADS.NAME)
    refuse_pooling(cfg, "MODEL.AIRNET.BRANCHES, which names the pooling of every representation")
    _check_context(cfg)


def _check_branch(number: int, names: Sequence[str]) -> None:
    layers = pooling_layers()
    known = sorted(layers.keys() - set(_NO_POOLING))
    for name in names:
        if name not in known:
            raise ConfigError(
                f"MODEL.AIRNET.BRANCHES names '{name}' in branch {number}, which is not a pooling layer; known are "
                f"{', '.join(known)}"
            )
    if len(set(names)) < len(names):
        raise ConfigError(
            f"MODEL.AIRNET.BRANCHES names the same pooling twice for branch {number} ({', '.join(names)}), which gives "
            "the same representation twice; name different layers, or give each its own branch"
        )
    attention = [n for n in names if issubclass(layers[n], AttentionPooling)]
    if len(attention) > 1:
        raise ConfigError(
            f"MODEL.AIRNET.BRANCHES gives branch {number} attention pooling both with and without a softmax "
            f"({', '.join(attention)}); keep one of them"
        )


def _check_head(name: str) -> None:
    """Check the head; one is built for each representation, and its pooling layer and neck are shown separately."""
    if not issubclass(REID_HEADS_REGISTRY.get(name), EmbeddingHead):
        raise ConfigError(
            f"MODEL.HEADS.NAME {name} belongs to an architecture other than AIR-Net, whose heads need a pooling layer "
            "and a neck like EmbeddingHead; use EmbeddingHead"
        )


def _check_context(cfg: Any) -> None:
    after = cfg.MODEL.AIRNET.CONTEXT_AFTER
    for name in after:
        if name not in STAGES[:3]:
            raise ConfigError(
                f"MODEL.AIRNET.CONTEXT_AFTER names '{name}', but the stages that the branches share are layer1, layer2 "
                "and layer3; ContextMaxPool puts a global-context block into a branch"
            )
    if len(set(after)) < len(after):
        raise ConfigError(
            f"MODEL.AIRNET.CONTEXT_AFTER names a stage twice ({', '.join(after)}); once is enough"
        )
    for key in ("WITH_IBN", "WITH_NL"):
        if after and cfg.MODEL.BACKBONE[key]:
            raise ConfigError(
                f"MODEL.BACKBONE.{key} True contradicts MODEL.AIRNET.CONTEXT_AFTER {list(after)}; context blocks "
                f"are for the plain ResNet; set MODEL.BACKBONE.{key} False or MODEL.AIRNET.CONTEXT_AFTER []"
            )


def check_maps(cfg: Any, trunk: nn.Module, branch: nn.Module) -> None:
    """Pass one empty image of each size in the config through the shared stages and a branch.

    Raises:
        ConfigError: a size is not [height, width], or a map is too small for attention or does not have
            ``MODEL.BACKBONE.FEAT_DIM`` channels.
    """
    crop = cfg.INPUT.CROP
    train = ("INPUT.CROP.SIZE", crop.SIZE) if crop.ENABLED else ("INPUT.SIZE_TRAIN", cfg.INPUT.SIZE_TRAIN)
    keys = {tuple(size): key for key, size in (("INPUT.SIZE_TEST", cfg.INPUT.SIZE_TEST), train)}
    for size, key in keys.items():
        if min(size) <= 0:  # the images keep their own size
            continue
        if len(size) != 2:
            raise ConfigError(
                f"{key} is {list(size)}, but AIR-Net needs [height, width] in pixels, two positive whole numbers, e.g. "
                "[256, 128]"
            )
        features = _map_of(trunk, branch, size)
        height, width = (0, 0) if features is None else features.shape[-2:]
        if features is None or min(height, width) < LEAST_MAP:
            least = 16 * cfg.MODEL.BACKBONE.LAST_STRIDE * LEAST_MAP
            raise ConfigError(
                f"{key} {list(size)} gives AIR-Net a feature map of {height} x {width}, too small for attention over "
                f"its positions; use at least {least} x {least} pixels"
            )
        if features.shape[1] != cfg.MODEL.BACKBONE.FEAT_DIM:
            raise ConfigError(
                f"MODEL.BACKBONE.FEAT_DIM is {cfg.MODEL.BACKBONE.FEAT_DIM}, but {cfg.MODEL.BACKBONE.NAME} of depth "
                f"{cfg.MODEL.BACKBONE.DEPTH} gives {features.shape[1]} channels; set it to that"
            )


@torch.no_grad()
def _map_of(trunk: nn.Module, branch: nn.Module, size: Sequence[int]) -> Tensor | None:
    """Return the last map (1, C, H, W) of an image of (height, width); None if it vanishes on the way."""
    training = [(m, m.training) for part in (trunk, branch) for m in part.modules()]
    for module, _ in training:
        module.training = False
    try:
        return branch(trunk(torch.zeros(1, 3, *size)))
    except RuntimeError:
        return None
    finally:
        for module, mode in training:
            module.training = mode


def _add_context(trunk: nn.Module, after: Sequence[str], branch: nn.Module) -> None:
    """Add a global-context block to the end of each named stage, which is the identity until it is trained."""
    following: dict[str, Any] = {"layer1": trunk.layer2, "layer2": trunk.layer3, "layer3": branch}
    channels = {name: _in_channels(following[name]) for name in after}
    for name in after:
        getattr(trunk, name).append(context_block(channels[name]))


def _in_channels(stage: nn.Module) -> int:
    return int(next(m.in_channels for m in stage.modules() if isinstance(m, nn.Conv2d)))


def _build_heads(cfg: Any) -> nn.ModuleDict:
    heads = nn.ModuleDict()
    for number, names in enumerate(cfg.MODEL.AIRNET.BRANCHES, 1):
        for letter, name in zip(string.ascii_lowercase, names, strict=False):
            own = cfg.clone()
            own.defrost()
            own.MODEL.HEADS.POOL_LAYER = name
            heads[f"{number}{letter if len(names) > 1 else ''}"] = build_heads(own)
    return heads
