"""AIR-Net: appearance and interaction branches (Blythman et al. 2021)."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import torch
from fastreid.config import configurable
from fastreid.modeling.losses import log_accuracy
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.modeling.meta_arch.baseline import Baseline
from torch import Tensor, nn

from fastreid_projects.contract import Branch, Part
from fastreid_projects.losses import NamedLoss, build_losses, check_loss_names
from fastreid_projects.modeling.backbone_stages import resnet_stages
from fastreid_projects.modeling.batch import move_batch
from fastreid_projects.modeling.unlabelled import training_targets

from .build import build_parts


@META_ARCH_REGISTRY.register()
class AIRNet(Baseline):
    """Copies of the 5th stage on shared stages, whose maps are each pooled to one or more representations.

    In training, the model returns a loss for each representation and named loss, divided by the number of
    representations (eq. 7); in evaluation, the concatenated representations after their BatchNorm.

    Args:
        backbone: the shared stages, (N, 3, h, w) -> X_0.
        branches: the copies of the 5th stage, X_0 -> (N, C, H, W): F_a and F_i (eq. 1).
        heads: a head of the host for each representation; its name starts with the number of its branch, from 1.
        losses: the losses that train each representation.
        pixel_mean: the mean of each channel, 0..255.
        pixel_std: the standard deviation of each channel.
    """

    @configurable
    def __init__(
        self,
        *,
        backbone: nn.Module,
        branches: nn.ModuleList,
        heads: nn.ModuleDict,
        losses: list[NamedLoss],
        pixel_mean: list[float],
        pixel_std: list[float],
    ) -> None:
        super().__init__(backbone=backbone, heads=heads, pixel_mean=pixel_mean, pixel_std=pixel_std)
        self.branches = branches
        self.named_losses = losses
        self.loss_modules = nn.ModuleDict({loss.key: loss.module for loss in losses})

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Read ``MODEL.AIRNET``, the backbone, the heads and the losses."""
        names = cfg.MODEL.LOSSES.NAME
        check_loss_names(names, ("features", "logits"), cls.__name__)
        backbone, branches, heads = build_parts(cfg)
        return {
            "backbone": backbone,
            "branches": branches,
            "heads": heads,
            "losses": build_losses(cfg, names),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    def forward(self, batched_inputs: Any) -> dict[str, Tensor] | Tensor:
        """Return losses (training) or features (N, D) (evaluation) of a host batch or images (N, 3, h, w), 0..255."""
        batch = move_batch(batched_inputs, self.device)
        maps = self.branch_maps(self.preprocess_image(batch))
        if not self.training:
            return torch.cat([head(maps[name]) for name, head in self.heads.items()], dim=1)
        targets, read = training_targets(batch["targets"])
        outputs = {name: head(maps[name], targets) for name, head in self.heads.items()}
        return self.losses(outputs, targets) if read else {}

    def branch_maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the map (N, C, H, W) from which each representation is pooled, of normalised images (N, 3, h, w)."""
        shared = self.backbone(images)
        maps = {branch: branch(shared) for branch in self.branches}
        return {name: maps[self._branch_of(name)] for name in self.heads}

    def explained_stages(self) -> list[nn.Module]:
        """Return the shared stages and the first branch, for AMD."""
        return [*resnet_stages(self.backbone)[:4], self.branches[0]]

    def explained_branches(self, maps: Sequence[Tensor]) -> list[Branch]:
        """Return map, pooling and neck of each representation, for AMD."""
        made = {branch: branch(maps[3]) for branch in self.branches[1:]} | {self.branches[0]: maps[4]}
        heads = self.heads.items()
        return [Branch(made[self._branch_of(name)], head.pool_layer, head.bottleneck) for name, head in heads]

    def saliency_parts(self) -> dict[str, Part]:
        """Return the last map of each representation, and its numbers in the feature (fig. 4)."""
        parts, start = {}, 0
        for name, head in self.heads.items():
            size = head.weight.shape[1]
            parts[name] = Part(self._branch_of(name), slice(start, start + size))
            start += size
        return parts

    def _branch_of(self, name: str) -> nn.Module:
        return self.branches[int(name.rstrip(string.ascii_lowercase)) - 1]

    def losses(self, outputs: dict[str, dict[str, Tensor]], gt_labels: Tensor) -> dict[str, Tensor]:
        """Return every loss on every representation, divided by the number of representations (eq. 7).

        Args:
            outputs: the output of the head of each representation.
            gt_labels: (N,).
        """
        log_accuracy(next(iter(outputs.values()))["pred_class_logits"].detach(), gt_labels)
        result = {}
        for loss in self.named_losses:
            for name, output in outputs.items():
                inputs = output["cls_outputs" if loss.inputs == "logits" else "features"]
                value = loss.scale * loss.module(inputs, gt_labels) / len(outputs)
                result[f"{loss.key}_{name}"] = value
        return result
