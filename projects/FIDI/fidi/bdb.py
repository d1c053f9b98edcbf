"""Batch DropBlock network (Dai et al., ICCV 2019), to which the paper adds FIDI (table II).

| letter | meaning                                  |
| ------ | ---------------------------------------- |
| N      | images                                   |
| C      | channels of the backbone's map           |
| h, w   | its height and width, 24 x 8 at 384x128  |

Modules below ``heads`` have the names and the order of the authors' network (their class BFE), so that its weights
can be loaded: see :func:`from_authors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from fastreid.config import configurable
from fastreid.layers import weights_init_classifier, weights_init_kaiming
from fastreid.modeling.backbones.resnet import Bottleneck
from fastreid.modeling.losses import log_accuracy
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY, Baseline
from torch import Tensor, nn

from fastreid_projects.contract import Branch
from fastreid_projects.errors import ConfigError
from fastreid_projects.losses import NamedLoss, build_losses, check_loss_names
from fastreid_projects.modeling.backbone_stages import split_stages
from fastreid_projects.modeling.pooling import check_channels, refuse_pooling
from fastreid_projects.modeling.stem import pad_stem
from fastreid_projects.modeling.unlabelled import training_targets

# The authors' names -> ours; their backbone is a sequence, and their res_part is layer4.
_AUTHORS = {
    "backbone.0.": "backbone.conv1.",
    "backbone.1.": "backbone.bn1.",
    "backbone.4.": "backbone.layer1.",
    "backbone.5.": "backbone.layer2.",
    "backbone.6.": "backbone.layer3.",
    "res_part.": "backbone.layer4.",
}


def drop_block(maps: Tensor, height_ratio: float, width_ratio: float) -> Tensor:
    """Set one random block to zero, the same block for the whole batch.

    Args:
        maps: (N, C, h, w); not changed.
        height_ratio: the height of the block relative to the map, 0..1; 1/3 in the paper.
        width_ratio: the same for the width; 1 in the paper.

    Returns:
        (N, C, h, w).
    """
    h, w = maps.shape[-2:]
    block_h, block_w = round(height_ratio * h), round(width_ratio * w)
    top, left = (int(torch.randint(size + 1, ())) for size in (h - block_h, w - block_w))
    mask = maps.new_ones(h, w)
    mask[top : top + block_h, left : left + block_w] = 0
    return maps * mask


class BDBHeads(nn.Module):
    """The global branch and the feature dropping branch on the backbone's map.

    Args:
        in_channels: C, a multiple of 4.
        global_dim: the size of the global feature, 512.
        drop_dim: the size of the dropping branch's feature, 1024.
        num_classes: the number of training identities.
        height_ratio: see :func:`drop_block`.
        width_ratio: see :func:`drop_block`.
    """

    def __init__(
        self,
        in_channels: int,
        global_dim: int,
        drop_dim: int,
        num_classes: int,
        height_ratio: float = 1 / 3,
        width_ratio: float = 1.0,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.global_softmax = nn.Linear(global_dim, num_classes)
        self.global_reduction = nn.Sequential(
            nn.Conv2d(in_channels, global_dim, 1), nn.BatchNorm2d(global_dim), nn.ReLU()
        )
        self.res_part2 = Bottleneck(in_channels, in_channels // Bottleneck.expansion, "BN")
        self.reduction = nn.Sequential(nn.Linear(in_channels, drop_dim), nn.BatchNorm1d(drop_dim), nn.ReLU())
        self.softmax = nn.Linear(drop_dim, num_classes)
        self.height_ratio, self.width_ratio = height_ratio, width_ratio
        self.global_pool, self.pool = nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)
        for reduction in (self.global_reduction, self.reduction):
            reduction.apply(weights_init_kaiming)
        for classifier in (self.global_softmax, self.softmax):
            classifier.apply(weights_init_classifier)

    def forward(self, maps: Tensor) -> dict[str, Tensor]:
        """Return the features ``"global"`` (N, 512) and ``"drop"`` (N, 1024) of maps (N, C, h, w).

        Raises:
            ConfigError: the number of channels differs from ``MODEL.BACKBONE.FEAT_DIM``.
        """
        check_channels(maps, self.in_channels)
        whole = self.global_reduction(self.global_pool(maps)).flatten(1)
        maps = self.res_part2(maps)
        if self.training:
            maps = drop_block(maps, self.height_ratio, self.width_ratio)
        return {"global": whole, "drop": self.reduction(self.pool(maps).flatten(1))}

    def logits(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the logits (N, classes) of each branch from its features."""
        return {"global": self.global_softmax(features["global"]), "drop": self.softmax(features["drop"])}


def from_authors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of the authors' network (github.com/daizuozhuo/batch-dropblock-network, class BFE).

    Args:
        weights: their state dictionary, with or without the prefix ``module.``.

    Returns:
        A state dictionary of `BDB`, without its pixel statistics.
    """
    renamed = {}
    for key, value in weights.items():
        name = key.removeprefix("module.")
        ours = next(
            (new + name[len(old) :] for old, new in _AUTHORS.items() if name.startswith(old)), f"heads.{name}"
        )
        renamed[ours] = value
    return renamed


@META_ARCH_REGISTRY.register()
class BDB(Baseline):
    """Batch DropBlock: a dictionary of losses in training, features (N, 512 + 1024) in evaluation.

    Args:
        backbone: image -> map, with last stride 1.
        heads: the two branches.
        losses: the losses that are applied to both branches and summed.
        pixel_mean: the mean of each channel, 0..255.
        pixel_std: the standard deviation of each channel.
    """

    @configurable
    def __init__(
        self,
        *,
        backbone: nn.Module,
        heads: BDBHeads,
        losses: list[NamedLoss],
        pixel_mean: list[float],
        pixel_std: list[float],
    ) -> None:
        super().__init__(backbone=backbone, heads=heads, pixel_mean=pixel_mean, pixel_std=pixel_std)
        self.named_losses = losses
        self.loss_modules = nn.ModuleDict({loss.key: loss.module for loss in losses})

    from_authors = staticmethod(from_authors)

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Read ``MODEL.FIDI.BDB``, the backbone and the losses.

        Raises:
            ConfigError: a size or ratio is out of range, or another pooling than BDB's is set.
        """
        from fastreid.modeling.backbones import build_backbone

        names, node, channels = cfg.MODEL.LOSSES.NAME, cfg.MODEL.FIDI.BDB, cfg.MODEL.BACKBONE.FEAT_DIM
        check_loss_names(names, ("features", "logits"), cls.__name__)
        refuse_pooling(cfg, "the architecture BDB, which averages one branch and takes the other's maximum")
        for key in ("HEIGHT_RATIO", "WIDTH_RATIO"):
            if not 0 <= node[key] <= 1:
                raise ConfigError(f"MODEL.FIDI.BDB.{key} is {node[key]}, but has to be in 0..1")
        for key in ("GLOBAL_DIM", "DROP_DIM"):
            if node[key] < 1:
                raise ConfigError(f"MODEL.FIDI.BDB.{key} is {node[key]} but has to be at least 1")
        if channels % Bottleneck.expansion:
            raise ConfigError(
                f"MODEL.BACKBONE.FEAT_DIM {channels} has to be a multiple of 4 for BDB's Bottleneck"
            )
        heads = BDBHeads(
            channels,
            node.GLOBAL_DIM,
            node.DROP_DIM,
            cfg.MODEL.HEADS.NUM_CLASSES,
            node.HEIGHT_RATIO,
            node.WIDTH_RATIO,
        )
        return {
            "backbone": pad_stem(build_backbone(cfg)),
            "heads": heads,
            "losses": build_losses(cfg, names),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    def explained_stages(self) -> list[nn.Module]:
        """Return the backbone's stages, for AMD."""
        return split_stages(self.backbone)

    def explained_branches(self, maps: Sequence[Tensor]) -> list[Branch]:
        """Return map, pooling and neck of both branches, for AMD; nothing is dropped."""
        heads = self.heads
        drop = nn.Sequential(nn.Flatten(), *heads.reduction)
        return [
            Branch(maps[4], heads.global_pool, heads.global_reduction),
            Branch(heads.res_part2(maps[4]), heads.pool, drop),
        ]

    def map_layers(self) -> dict[str, nn.Module]:
        """Return the last maps of both branches, for Grad-CAM."""
        return {"global": self.backbone, "drop": self.heads.res_part2}

    def forward(self, batched_inputs: Any) -> dict[str, Tensor] | Tensor:
        """Return losses (training) or features (evaluation) of a host batch or of images (N, 3, H, W), 0..255."""
        features = self.heads(self.backbone(self.preprocess_image(batched_inputs)))
        if not self.training:
            return torch.cat([features["global"], features["drop"]], dim=1)
        targets, read = training_targets(batched_inputs["targets"].to(self.device))
        return self.losses(features, targets) if read else {}

    def losses(self, outputs: dict[str, Tensor], gt_labels: Tensor) -> dict[str, Tensor]:
        """Return every loss of both branches.

        Args:
            outputs: the features by branch.
            gt_labels: (N,).
        """
        logits = self.heads.logits(outputs)
        log_accuracy(sum(logits.values()).detach(), gt_labels)
        return {
            f"{loss.key}_{branch}": loss.scale
            * loss.module((logits if loss.inputs == "logits" else outputs)[branch], gt_labels)
            for loss in self.named_losses
            for branch in outputs
        }
