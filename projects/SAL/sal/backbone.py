"""The dilated ResNet with stage6 (sec. 3.1, fig. 1).

The paper's stage4, stage5 and stage6 are ``layer3``, ``layer4`` and ``layer5`` here, as in torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from fastreid.layers import get_norm
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from fastreid.modeling.backbones import resnet as host_resnet
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from torch import Tensor, nn

from fastreid_projects.checkpoints.pretrained import load_pretrained
from fastreid_projects.contract import TakesLevels
from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.backbones.strides import keep_resolution
from fastreid_projects.modeling.backbones.timm_models import channels_of

BLOCKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "18x": (host_resnet.BasicBlock, (2, 2, 2, 2)),
    "34x": (host_resnet.BasicBlock, (3, 4, 6, 3)),
    "50x": (host_resnet.Bottleneck, (3, 4, 6, 3)),
    "101x": (host_resnet.Bottleneck, (3, 4, 23, 3)),
}
# Backbones that return levels.
BUILDERS = ("build_dilated_resnet_backbone", "build_dilated_timm_backbone")
PLANES = {4: 256, 5: 512, 6: 256}  # stage6 has half the channels of stage5


class DilatedResNet(host_resnet.ResNet):
    """The host's ResNet without the strides of stage4 and stage5 and with stage6, which returns its levels.

    Names and shapes up to ``layer4`` are those of the plain ResNet, so that its weights can be loaded.

    Args:
        depth: ``"18x"``, ``"34x"``, ``"50x"`` or ``"101x"``.
        norm: the host's name of a normalisation layer.
        with_ibn: whether to use IBN blocks.
        with_se: whether to use squeeze-and-excitation blocks.
        dilated: whether to dilate stage4 and stage5 instead of striding.
        dilation: of the 3x3 convolutions of stage4, stage5 (both only if ``dilated``) and stage6.
        keep_first: whether the first 3x3 convolution of stage4 and stage5 keeps the dilation of the stage before.
        levels: the stages among 4, 5, 6 to return, ascending, including 5 or 6.
        small_stem: whether to use a 3x3 stem with stride 1 and no pooling.
    """

    not_pretrained = ("layer5.",)

    def __init__(
        self,
        depth: str = "50x",
        norm: str = "BN",
        *,
        with_ibn: bool = False,
        with_se: bool = False,
        dilated: bool = True,
        dilation: Sequence[int] = (2, 4, 2),
        keep_first: bool = False,
        levels: Sequence[int] = (4, 5, 6),
        small_stem: bool = False,
    ) -> None:
        block, blocks = BLOCKS[depth]
        super().__init__(2, norm, with_ibn, with_se, False, block, blocks, None)
        self.levels, self.dilated = tuple(levels), dilated
        self.out_channels = [PLANES[level] * block.expansion for level in self.levels]
        if dilated:
            for stage, before, rate in (
                (self.layer3, 1, dilation[0]),
                (self.layer4, dilation[0], dilation[1]),
            ):
                dilate(stage, rate, before if keep_first else rate)
        if 6 in self.levels:
            self.layer5 = self._make_layer(block, PLANES[6], blocks[3], 1, norm, with_se=with_se)
            dilate(self.layer5, dilation[2], dilation[2])
        if small_stem:
            self.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
            self.bn1 = get_norm(norm, 64)
            self.maxpool = nn.Identity()
        self.random_init()

    def forward(self, x: Tensor) -> list[Tensor] | Tensor:
        """Return the levels, or the only one, of normalised images (N, 3, h, w); at 1/8 of the size if dilated."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        outputs = []
        for level in range(4, self.levels[-1] + 1):
            x = getattr(self, f"layer{level - 1}")(x)
            if level in self.levels:
                outputs.append(x)
        return outputs if len(outputs) > 1 else outputs[0]

    def map_layers(self) -> dict[str, nn.Module]:
        """Return the modules whose outputs are the levels, by the paper's names."""
        return {f"stage{level}": getattr(self, f"layer{level - 1}") for level in self.levels}

    def five_stages(self) -> list[nn.Module] | None:
        """Return five modules that, one after the other, give the levels side by side (N, sum of C, H, W).

        None if the levels have different sizes.
        """
        if not self.dilated and set(self.levels) - {5, 6}:
            return None
        stem = nn.Sequential(self.conv1, self.bn1, self.relu, self.maxpool)
        return [stem, self.layer1, self.layer2, self.layer3, Levels(self)]


class Levels(nn.Module):
    """stage5 and stage6 of a backbone: stage4's map -> the levels side by side; shares the backbone's parameters."""

    def __init__(self, backbone: DilatedResNet) -> None:
        super().__init__()
        self.levels = backbone.levels
        self.layer4 = backbone.layer4
        self.layer5 = backbone.layer5 if 6 in backbone.levels else nn.Identity()

    def forward(self, stage4: Tensor) -> Tensor:
        """Map (N, C4, H, W) to (N, sum of C, H, W)."""
        stage5 = self.layer4(stage4)
        found = {4: stage4, 5: stage5, 6: self.layer5(stage5)}
        return torch.cat([found[level] for level in self.levels], dim=1)


def dilate(stage: nn.Module, rate: int, first_rate: int) -> None:
    """Remove the stride from the convolutions of a stage, and dilate those of size 3x3.

    Args:
        stage: blocks of a ResNet; changed in place.
        rate: dilation of the 3x3 convolutions.
        first_rate: dilation of the first one.
    """
    keep_resolution(stage.modules())
    convolutions = [module for module in stage.modules() if isinstance(module, nn.Conv2d)]
    rates = iter([first_rate])
    for convolution in convolutions:
        if convolution.kernel_size == (3, 3):
            r = next(rates, rate)
            convolution.dilation = convolution.padding = (r, r)


def level_channels(cfg: Any) -> list[int]:
    """Return the channels of each level of ``MODEL.SAL.LEVELS``, which the backbone has checked."""
    depth = cfg.MODEL.BACKBONE.DEPTH
    expansion = BLOCKS[depth][0].expansion if depth in BLOCKS else channels_of(depth) // PLANES[5]
    return [PLANES[level] * expansion for level in cfg.MODEL.SAL.LEVELS]


@BACKBONE_REGISTRY.register()
def build_dilated_resnet_backbone(cfg: Any) -> DilatedResNet:
    """Build :class:`DilatedResNet` from ``MODEL.BACKBONE`` and ``MODEL.SAL``.

    Raises:
        ConfigError: a value cannot be used; the message names its key.
        WeightsError: the pretrained weights cannot be found or loaded.
    """
    backbone, node = cfg.MODEL.BACKBONE, cfg.MODEL.SAL
    if backbone.DEPTH not in BLOCKS:
        raise ConfigError(
            f"MODEL.BACKBONE.DEPTH '{backbone.DEPTH}' of build_dilated_resnet_backbone has to be one of "
            f"{', '.join(BLOCKS)}"
        )
    if backbone.WITH_NL:
        raise ConfigError("MODEL.BACKBONE.WITH_NL True does not work with build_dilated_resnet_backbone")
    check_levels(node)
    model = DilatedResNet(
        backbone.DEPTH,
        backbone.NORM,
        with_ibn=backbone.WITH_IBN,
        with_se=backbone.WITH_SE,
        dilated=node.DILATED,
        dilation=node.DILATION,
        keep_first=node.KEEP_FIRST,
        levels=node.LEVELS,
        small_stem=node.SMALL_STEM,
    )
    check_head(cfg, model)
    if backbone.PRETRAIN:
        key = f"{'se_' if backbone.WITH_SE else ''}{'ibn_' if backbone.WITH_IBN else ''}{backbone.DEPTH}"
        load_pretrained(model, host_resnet.init_pretrained_weights(key), f"known for '{key}'")
    return model


def check_levels(node: Any) -> None:
    """Check ``MODEL.SAL.LEVELS`` and ``DILATION``.

    Raises:
        ConfigError: a value cannot be used.
    """
    levels = tuple(node.LEVELS)
    if levels not in ((5,), (6,), (4, 5), (4, 6), (5, 6), (4, 5, 6)):
        raise ConfigError(
            f"MODEL.SAL.LEVELS {levels} has to list stages among 4, 5, 6, ascending, including 5 or 6"
        )
    rates = tuple(node.DILATION)
    if len(rates) != 3 or not all(isinstance(rate, int) and rate > 0 for rate in rates):
        raise ConfigError(
            f"MODEL.SAL.DILATION {rates} has to be three positive integers, for stage4, 5 and 6"
        )


def check_head(cfg: Any, model: DilatedResNet) -> None:
    """Check that the head takes the levels and ``MODEL.BACKBONE.FEAT_DIM`` is their channels.

    Raises:
        ConfigError: it does not; the sentence says what to set.
    """
    head = REID_HEADS_REGISTRY.get(cfg.MODEL.HEADS.NAME)
    if len(model.levels) > 1 and not isinstance(head, TakesLevels):
        raise ConfigError(
            f"MODEL.HEADS.NAME {cfg.MODEL.HEADS.NAME} takes a single feature map, but MODEL.SAL.LEVELS "
            f"{model.levels} gives {len(model.levels)}: use MultiLevelHead, or a single level"
        )
    channels = sum(model.out_channels)
    if channels != cfg.MODEL.BACKBONE.FEAT_DIM:
        raise ConfigError(
            f"MODEL.BACKBONE.FEAT_DIM is {cfg.MODEL.BACKBONE.FEAT_DIM}, but the levels {model.levels} of depth "
            f"{cfg.MODEL.BACKBONE.DEPTH} have {channels} channels: set it to {channels}"
        )
