"""From a config to AIR-Net's parts: shared stages, copies of the 5th stage, heads; and what is wrong with a config."""

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
# With one position less in a direction, attention over positions is no choice and all poolings are alike.
LEAST_MAP = 2
# Of the host's module of pooling layers, but none that pools a map to (N, C, 1, 1).
_NO_POOLING = ("Flatten", "Identity")
_VARIANTS = '[["GlobalMaxPool"], ["GlobalMaxPool", "AttentionPooling"]]'


def build_parts(cfg: Any) -> tuple[nn.Module, nn.ModuleList, nn.ModuleDict]:
    """Shared stages, one copy of the 5th stage for each branch, and one head for each representation.

    The heads are called ``1``, ``2a``, ``2b`` after the paper's branches.

    Raises:
        ConfigError: the config names a variant that does not exist, contradicts itself, or does not fit its
            backbone or its image size.
    """
    check_variant(cfg)
    trunk = build_backbone(cfg)
    missing = [name for name in STAGES if not isinstance(getattr(trunk, name, None), nn.Sequential)]
    if missing:
        raise ConfigError(
            f"MODEL.BACKBONE.NAME {cfg.MODEL.BACKBONE.NAME} of depth {cfg.MODEL.BACKBONE.DEPTH} has no {missing[0]}, "
            "and AIR-Net copies the last of four stages layer1 to layer4; use build_resnet_backbone"
        )
    last = trunk.layer4
    branches = nn.ModuleList(copy.deepcopy(last) for _ in cfg.MODEL.AIRNET.BRANCHES)
    trunk.layer4 = nn.Sequential()  # the shared stages are the host's backbone without its last one
    check_maps(cfg, trunk, branches[0])
    _add_context(trunk, cfg.MODEL.AIRNET.CONTEXT_AFTER, branches[0])
    return trunk, branches, _build_heads(cfg)


def check_variant(cfg: Any) -> None:
    """Check ``MODEL.AIRNET`` before anything is built.

    Raises:
        ConfigError: one sentence with the key and the way out.
    """
    branches = cfg.MODEL.AIRNET.BRANCHES
    if not branches or not all(isinstance(names, (list, tuple)) and names for names in branches):
        raise ConfigError(
            f"MODEL.AIRNET.BRANCHES is {branches!r}; it has to be one list of pooling layers for each branch, like "
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
                f"MODEL.AIRNET.BRANCHES names '{name}' in branch {number}, which is no pooling layer; known are "
                f"{', '.join(known)}"
            )
    if len(set(names)) < len(names):
        raise ConfigError(
            f"MODEL.AIRNET.BRANCHES pools branch {number} twice alike ({', '.join(names)}), which gives the same "
            "representation twice; name different layers, or give each a branch of its own"
        )
    attention = [n for n in names if issubclass(layers[n], AttentionPooling)]
    if len(attention) > 1:
        raise ConfigError(
            f"MODEL.AIRNET.BRANCHES gives branch {number} attention pooling with and without a softmax "
            f"({', '.join(attention)}); keep one of them"
        )


def _check_head(name: str) -> None:
    """A head is built for each representation, and its pooling layer and neck are shown on their own."""
    if not issubclass(REID_HEADS_REGISTRY.get(name), EmbeddingHead):
        raise ConfigError(
            f"MODEL.HEADS.NAME {name} belongs to another architecture than AIR-Net, whose heads have a pooling layer "
            "and a neck as EmbeddingHead has; use EmbeddingHead"
        )


def _check_context(cfg: Any) -> None:
    after = cfg.MODEL.AIRNET.CONTEXT_AFTER
    for name in after:
        if name not in STAGES[:3]:
            raise ConfigError(
                f"MODEL.AIRNET.CONTEXT_AFTER names '{name}', but the stages that the branches share are layer1, layer2 "
                "and layer3; in a branch, ContextMaxPool has a global-context block"
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
    """Send one empty image of each size of the config through shared stages and a branch.

    Raises:
        ConfigError: a size that is not [height, width]; a map that is too small to be attended to, or does not have
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
    """The last map (1, C, H, W) of an image of (height, width), or None where it vanishes on the way."""
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
    """A global-context block at the end of each named stage; it is the identity until it is trained."""
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
