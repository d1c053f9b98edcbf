"""The MPN architecture: the host's Baseline with two tasks for each body part."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from fastreid.config import configurable
from fastreid.modeling.losses.cross_entroy_loss import log_accuracy
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY, Baseline
from fastreid.utils.events import get_event_storage
from torch import Tensor, nn

from fastreid_projects.contract import Branch, DatasetMaker
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.losses import NamedLoss, build_losses, check_loss_names
from fastreid_projects.modeling.backbone_stages import resnet_stages, split_stages
from fastreid_projects.modeling.batch import move_batch
from fastreid_projects.modeling.stem import pad_stem
from fastreid_projects.modeling.unlabelled import training_targets

from .alignment import ALIGNMENTS, alignment_loss, soft_sharing_loss
from .authors import from_authors
from .data.part_dataset import Translation, with_part_masks
from .heads import MPNHead, PartFeatures
from .regions import Regions, find_regions
from .rga import add_spatial_attention

PRIORS = ("mask", "roi", "uniform")
SUMMED = "sample_triplet"


@META_ARCH_REGISTRY.register()
class MPN(Baseline):
    """Part-aware features without a part detector (Fig. 3).

    In training, the model returns a dictionary of losses; in evaluation, h (N, K * C) of the main tasks.

    Args:
        backbone: image -> F.
        heads: an :class:`MPNHead`.
        pixel_mean: the mean of each channel, RGB 0..255.
        pixel_std: the standard deviation of each channel.
        losses: losses on logits are summed over the parts of both tasks (Eq. 1), losses on features get h (Eq. 3).
        prior: ``"mask"``, ``"roi"`` or ``"uniform"``.
        align: a name of ``ALIGNMENTS``, ``"sample_triplet"`` or ``"none"``.
        align_weight: lambda (Eq. 10).
        soft_pairs: the softly shared layers among ``"conv1"``, ``"conv2"``, ``"attention"``.
        soft_weight: the weight of soft parameter sharing.
        not_pretrained: prefixes of parameters that an IDE does not have.
    """

    @configurable
    def __init__(
        self,
        *,
        backbone: nn.Module,
        heads: MPNHead,
        pixel_mean: list[float],
        pixel_std: list[float],
        losses: list[NamedLoss],
        prior: str = "mask",
        align: str = "class",
        align_weight: float = 1.0,
        soft_pairs: tuple[str, ...] = (),
        soft_weight: float = 1.0,
        not_pretrained: tuple[str, ...] = (),
    ) -> None:
        super().__init__(
            backbone=backbone, heads=heads, pixel_mean=pixel_mean, pixel_std=pixel_std, loss_kwargs=None
        )
        self.loss_modules = nn.ModuleDict({loss.key: loss.module for loss in losses})
        self.named_losses = losses
        self.prior, self.align, self.align_weight = prior, align, align_weight
        self.soft_pairs, self.soft_weight = soft_pairs, soft_weight
        self.not_pretrained = not_pretrained

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Read ``MODEL.MPN``, and build backbone, head and losses.

        Raises:
            ConfigError: a value is unknown or contradicts another one.
        """
        node = cfg.MODEL.MPN
        check_loss_names(cfg.MODEL.LOSSES.NAME, ("features", "logits"), "MPN")
        for key, value, known in (
            ("PRIOR.TYPE", node.PRIOR.TYPE, PRIORS),
            ("ALIGN", node.ALIGN, (*ALIGNMENTS, SUMMED, "none")),
        ):
            if value not in known:
                raise ConfigError(f"MODEL.MPN.{key} is '{value}'; it has to be one of {', '.join(known)}")
        for key in ("LAMBDA", "SOFT_WEIGHT"):
            if not 0 <= node[key] < math.inf:
                raise ConfigError(f"MODEL.MPN.{key} is {node[key]} but has to be at least 0 and finite")
        if node.TASKS == "auxiliary" and node.PRIOR.TYPE == "mask" and cfg.TEST.FLIP.ENABLED:
            raise ConfigError(
                "TEST.FLIP.ENABLED flips the images but not their masks, which MODEL.MPN.TASKS auxiliary with "
                "PRIOR.TYPE mask needs in tests: set it False, or use the prior roi or uniform"
            )
        if MPNHead.__name__ != cfg.MODEL.HEADS.NAME:
            raise ConfigError(
                f"MODEL.HEADS.NAME is {cfg.MODEL.HEADS.NAME}; the architecture MPN needs MPNHead"
            )
        arguments = super().from_config(cfg)
        del arguments["loss_kwargs"]
        pad_stem(arguments["backbone"])
        added = add_spatial_attention(arguments["backbone"], cfg.INPUT.SIZE_TEST) if node.RGA else ()
        shared = [("conv1", node.SHARE_CONV1), ("conv2", node.SHARE_CONV2)]
        if node.ATTENTION:
            shared.append(("attention", node.SHARE_CONV2))
        soft = tuple(name for name, how in shared if how == "soft")
        return {
            **arguments,
            "losses": build_losses(cfg, cfg.MODEL.LOSSES.NAME),
            "prior": node.PRIOR.TYPE,
            "align": node.ALIGN,
            "align_weight": node.LAMBDA,
            "soft_pairs": soft if node.TASKS == "both" else (),
            "soft_weight": node.SOFT_WEIGHT,
            "not_pretrained": tuple(f"backbone.{name}" for name in added),
        }

    from_authors = staticmethod(from_authors)

    @staticmethod
    def test_config(cfg: Any) -> Any:
        """Return the config without the auxiliary tasks if there are main tasks, because tests only use those."""
        if cfg.MODEL.MPN.TASKS == "both":
            cfg = cfg.clone()
            cfg.defrost()
            cfg.MODEL.MPN.TASKS = "main"
        return cfg

    @staticmethod
    def own_dataset(cfg: Any, is_train: bool) -> DatasetMaker | None:
        """Return the function that makes images with masks of body parts or shifts, if the config needs them.

        The auxiliary tasks need masks in training, and also in tests if there are no main tasks.
        """
        node = cfg.MODEL.MPN
        needed = node.TASKS == "auxiliary" or (is_train and node.TASKS == "both")
        masked = needed and node.PRIOR.TYPE != "uniform"
        translation = Translation.from_config(node.TRANSLATION) if is_train else None
        if not masked and translation is None:
            return None
        return functools.partial(
            with_part_masks,
            relabel=is_train,
            folder=node.PRIOR.FOLDER if masked else None,
            strict=node.PRIOR.STRICT,
            translation=translation,
        )

    def forward(self, batched_inputs: Any) -> dict[str, Tensor] | Tensor:
        """Return losses (training) or h (N, K * C) (evaluation) of a host batch."""
        batched_inputs = move_batch(batched_inputs, self.device)
        maps = self.backbone(self.preprocess_image(batched_inputs))
        if not self.training:
            masked = self.heads.tasks == "auxiliary"
            return self.heads(maps, self.regions(batched_inputs, maps) if masked else None)
        targets, read = training_targets(batched_inputs["targets"])
        regions = self.regions(batched_inputs, maps)
        if regions is not None:
            get_event_storage().put_scalar("evenly_divided_images", (~regions.found).sum())
        outputs = self.heads(maps, regions)
        return self.losses(outputs, targets) if read else {}

    def explained_stages(self) -> list[nn.Module]:
        """Return the backbone's stages, for AMD."""
        plain = "layer1" in dict(
            self.backbone.named_children()
        )  # also with RGA-S, which works for only one image size
        return resnet_stages(self.backbone) if plain else split_stages(self.backbone)

    def explained_branches(self, maps: Sequence[Tensor]) -> list[Branch]:
        """Return the main tasks, for AMD."""
        return [self.heads.explained_branch(maps[4])]

    def regions(self, batch: Any, maps: Tensor) -> Regions | None:
        """Return the prior of a batch at the size of its maps; None for even division.

        Raises:
            ConfigError: the maps have fewer rows than there are parts.
            DataError: the batch does not hold masks.
        """
        if self.prior == "uniform" or self.heads.tasks == "main":
            return None
        if maps.shape[2] < self.heads.parts:
            raise ConfigError(
                f"the map has {maps.shape[2]} rows, fewer than MODEL.MPN.PARTS {self.heads.parts}: make "
                "INPUT.SIZE_TRAIN and SIZE_TEST larger or PARTS smaller, or set MODEL.MPN.PRIOR.TYPE uniform"
            )
        if not isinstance(batch, dict) or "part_masks" not in batch:
            raise DataError(
                f"the batch does not hold 'part_masks', which MODEL.MPN.PRIOR.TYPE {self.prior} needs: build the "
                "loader with the Trainer of this project, or set MODEL.MPN.PRIOR.TYPE uniform"
            )
        visible, whole = (batch[key] for key in ("part_masks", "whole_part_masks"))
        regions = find_regions(visible, whole, (maps.shape[2], maps.shape[3]), self.heads.parts)
        return regions if self.prior == "mask" else regions._replace(mask=torch.ones_like(regions.mask))

    def losses(self, outputs: PartFeatures, gt_labels: Tensor) -> dict[str, Tensor]:
        """Return the terms of Eq. 10, by name."""
        main, auxiliary = outputs
        pairs_of = auxiliary if main is None else main
        if pairs_of is None:
            raise ValueError("MPN has neither main nor auxiliary features to train on")
        if self.align == SUMMED and main is not None and auxiliary is not None:
            pairs_of = main + auxiliary
        logits = self._logits(main, auxiliary, gt_labels)
        loss_dict = {}
        for loss in self.named_losses:
            if loss.inputs == "logits":
                for task, parts in logits.items():
                    value = sum(loss.module(part, gt_labels) for part in parts.unbind(1))
                    loss_dict[f"{loss.key}_{task}"] = loss.scale * value
            else:
                loss_dict[loss.key] = loss.scale * loss.module(pairs_of.flatten(1), gt_labels)
        if main is not None and auxiliary is not None and self.align in ALIGNMENTS:
            value = alignment_loss(self.align, main.flatten(1), auxiliary.flatten(1), gt_labels)
            loss_dict["loss_alignment"] = self.align_weight * value
        if self.soft_pairs:
            pairs = [(getattr(self.heads, name), self.heads.auxiliary[name]) for name in self.soft_pairs]
            loss_dict["loss_soft_sharing"] = self.soft_weight * soft_sharing_loss(pairs)
        return loss_dict

    def _logits(self, main: Tensor | None, auxiliary: Tensor | None, labels: Tensor) -> dict[str, Tensor]:
        """Return logits (N, K, classes) by task; log the accuracy of the first task with all parts together."""
        classifier = self.heads.classifier
        found = {}
        if main is not None:
            found["main"] = classifier(main, labels)
            classifier = self.heads.auxiliary["classifier"] if auxiliary is not None else classifier
        if auxiliary is not None:
            found["auxiliary"] = classifier(auxiliary, labels)
        plain = next(iter(found.values()))[1]
        log_accuracy(plain.detach().sum(1), labels)
        return {task: trained for task, (trained, _) in found.items()}
