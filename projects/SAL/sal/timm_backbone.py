"""The dilated ResNet with stage6 on a ResNet of timm."""

from __future__ import annotations

from typing import Any

from fastreid.modeling.backbones import BACKBONE_REGISTRY

from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.backbones import timm_names
from fastreid_projects.modeling.backbones.build import say_pixels
from fastreid_projects.modeling.backbones.timm_models import Options, build_model

from .backbone import PLANES, DilatedResNet, check_head, check_levels, dilate

# timm's names of the parts, and FastReID's.
_PARTS = {"conv1": "conv1", "bn1": "bn1", "act1": "relu", "maxpool": "maxpool"}
_PARTS |= {f"layer{i}": f"layer{i}" for i in range(1, 5)}


class DilatedTimmResNet(DilatedResNet):
    """A :class:`~.backbone.DilatedResNet` with the stem and the stages up to stage5 of timm; stage6 is FastReID's.

    Args:
        trunk: a ResNet of timm with strides.
        dilation: see :class:`~.backbone.DilatedResNet`.
        keep_first: see :class:`~.backbone.DilatedResNet`.
        dilated: see :class:`~.backbone.DilatedResNet`.
        **others: its other arguments.
    """

    def __init__(
        self,
        trunk: Any,
        *,
        dilated: bool = True,
        dilation: tuple[int, int, int] = (2, 4, 2),
        keep_first: bool = False,
        **others: Any,
    ) -> None:
        depth = "18x" if trunk.num_features == PLANES[5] else "50x"
        super().__init__(depth, dilated=dilated, dilation=dilation, **others)
        for name, own in _PARTS.items():
            setattr(self, own, getattr(trunk, name))
        if dilated:
            dilate(self.layer3, dilation[0], 1 if keep_first else dilation[0])
            dilate(self.layer4, dilation[1], dilation[0] if keep_first else dilation[1])


@BACKBONE_REGISTRY.register()
def build_dilated_timm_backbone(cfg: Any) -> DilatedTimmResNet:
    """Build :class:`DilatedTimmResNet` of the ResNet of timm that ``MODEL.BACKBONE.DEPTH`` names.

    Raises:
        ConfigError: a value cannot be used; the message names its key.
        WeightsError: the pretrained weights cannot be found or loaded.
        MissingExtraError: timm is not installed.
    """
    backbone, node = cfg.MODEL.BACKBONE, cfg.MODEL.SAL
    check_levels(node)
    trunk = build_model(backbone.DEPTH, Options((0, 0), last_stride=2), pretrained=backbone.PRETRAIN)
    if not all(hasattr(trunk, name) for name in _PARTS) or trunk.num_features not in (
        PLANES[5],
        4 * PLANES[5],
    ):
        raise ConfigError(
            f"MODEL.BACKBONE.DEPTH {backbone.DEPTH} of build_dilated_timm_backbone is not a ResNet of 512 or 2048 "
            "channels: use resnet18, resnet50 or another of their kin"
        )
    model = DilatedTimmResNet(
        trunk,
        norm=backbone.NORM,
        dilated=node.DILATED,
        dilation=tuple(node.DILATION),
        keep_first=node.KEEP_FIRST,
        levels=node.LEVELS,
    )
    check_head(cfg, model)
    say_pixels(cfg, backbone.DEPTH)
    return model


timm_names.BUILDERS.add(build_dilated_timm_backbone.__name__)
