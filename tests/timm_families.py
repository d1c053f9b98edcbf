"""BoT on tiny models of timm, one of each family: their names, and what a config needs for them."""

from typing import NamedTuple

import torch


class Family(NamedTuple):
    """A tiny model of a family of timm.

    Attributes:
        name: timm's, or of ``tests/timm_models.py``.
        channels: of its map.
        opts: what its config needs besides.
        grid: its map of an image of 128 x 64, or of 112 x 56 for patches of 14 pixels.
        block: the name of a layer in the middle.
        stages: whether it can be cut into five.
        size: of its images.
    """

    name: str
    channels: int
    grid: tuple[int, int]
    block: str
    opts: tuple[str, ...] = ()
    stages: bool = True
    size: str = "[128, 64]"


CLASS_TOKEN = ("MODEL.HEADS.POOL_LAYER", "ClassTokenPooling")
FAMILIES = {
    "ResNet": Family("test_resnet", 96, (8, 4), "layer3"),
    "ConvNeXt": Family("test_convnext", 64, (8, 4), "stages.2"),
    "EfficientNet": Family("test_efficientnet", 256, (8, 4), "blocks.2"),
    "RegNet and kin": Family("test_byobnet", 256, (8, 4), "stages.2"),
    "Swin": Family("tiny_swin", 128, (4, 2), "layers.2", ("MODEL.BACKBONE.LAST_STRIDE", "2")),
    "ViT, patches": Family("test_vit", 64, (8, 4), "blocks.2", stages=False),
    "ViT, class token": Family("test_vit", 64, (8, 4), "blocks.2", CLASS_TOKEN, stages=False),
    "DINOv2": Family("tiny_dinov2", 32, (8, 4), "blocks.1", CLASS_TOKEN, False, "[112, 56]"),
    "DINOv3": Family("tiny_dinov3", 32, (8, 4), "blocks.1", CLASS_TOKEN, stages=False),
    "CLIP": Family("tiny_clip", 32, (8, 4), "blocks.1", CLASS_TOKEN, stages=False),
}


def opts_of(family: Family) -> list[str]:
    """``KEY VALUE`` pairs that put the family's model into a config."""
    return [
        *("MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.BACKBONE.DEPTH", family.name),
        *("MODEL.BACKBONE.FEAT_DIM", str(family.channels), "MODEL.BACKBONE.PRETRAIN", "False"),
        *("INPUT.SIZE_TRAIN", family.size, "INPUT.SIZE_TEST", family.size, *family.opts),
    ]


def pictures(family: Family, n: int = 2) -> torch.Tensor:
    """Images (n, 3, H, W) of 0..255."""
    height, width = (int(side) for side in family.size.strip("[]").split(","))
    return 255 * torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(1))
