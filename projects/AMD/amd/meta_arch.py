"""AMD: an interpreter grafted on a frozen ReID model (papers: Chen et al., ICCV 2021)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from fastreid.config import configurable
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils.events import get_event_storage
from torch import Tensor, nn

from fastreid_projects.contract import DatasetMaker
from fastreid_projects.data.attributes import AttributeSet
from fastreid_projects.losses import NamedLoss, build_losses, check_loss_names
from fastreid_projects.modeling.backbone_stages import run_stages

from .build import build_target
from .checks import check_keys
from .data.attribute_dataset import with_attributes
from .data.choice import resolve_attribute_set
from .decomposition import pairwise_distances
from .free_stages import build_free_stages
from .heads import shape_alone
from .losses import PairDistances, exclusive_attributes
from .saved_weights import check_saved
from .targets import FrozenTarget, TargetOutput, embed, pooled_embedding

_ANY_SIZE = (128, 64)  # for configs that do not resize images


@META_ARCH_REGISTRY.register()
class AMD(nn.Module):
    """Explain the distances of a frozen target model, attribute by attribute.

    In training it returns a dictionary of losses; in evaluation a tensor (N, 1 + M, D), with the target's feature that
    is explained at index 0 of its second axis and the attribute-guided features f^k at 1..M.

    Args:
        target: the frozen model F.
        free_stages: the interpreter's own stages N+1..5.
        head: attribute decomposition head, (N, C, H, W) -> (N, M, H, W).
        attribute_set: what the M attributes mean.
        losses: the losses to train with, which take :class:`~fastreid_projects.amd.losses.PairDistances`.
        neck: whether features are taken after the target's neck, not before it.
        normalize: whether to divide an image's features by the norm of its full feature.
        prior_by_place: whether the attribute prior uses maps with equal means over their positions.
    """

    @configurable
    def __init__(
        self,
        *,
        target: FrozenTarget,
        free_stages: nn.ModuleList,
        head: nn.Module,
        attribute_set: AttributeSet,
        losses: list[NamedLoss],
        neck: bool = True,
        normalize: bool = False,
        prior_by_place: bool = False,
    ) -> None:
        super().__init__()
        self.target = target
        self.free_stages = free_stages
        self.head = head
        self.attribute_set = attribute_set
        self.losses = nn.ModuleDict({loss.key: loss.module for loss in losses})
        self.loss_scales = {loss.key: loss.scale for loss in losses}
        self.neck = neck
        self.normalize = normalize
        self.prior_by_place = prior_by_place

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Read ``MODEL.AMD``, build and load the target, and start the interpreter from it."""
        node = cfg.MODEL.AMD
        check_keys(cfg)
        check_loss_names(cfg.MODEL.LOSSES.NAME, ("attribute distances",), "AMD")
        attribute_set = resolve_attribute_set(cfg)
        target = FrozenTarget(build_target(cfg), node.SHARED_STAGES)
        head = REID_HEADS_REGISTRY.get(cfg.MODEL.HEADS.NAME)(
            cfg, in_channels=_out_channels(target, cfg.INPUT.SIZE_TEST), num_attributes=len(attribute_set)
        )
        free_stages = build_free_stages(cfg, target)
        own = nn.ModuleDict({"free_stages": free_stages, "head": head})
        check_saved(cfg, own.state_dict(), attribute_set)
        return {
            "target": target,
            "free_stages": free_stages,
            "head": head,
            "attribute_set": attribute_set,
            "losses": build_losses(cfg, cfg.MODEL.LOSSES.NAME),
            "neck": node.NECK_FEAT == "after",
            "normalize": node.NORMALIZE,
            "prior_by_place": node.PRIOR_BY_PLACE,
        }

    output_kind = "features"
    check_config = staticmethod(check_keys)

    @staticmethod
    def own_dataset(cfg: Any, is_train: bool) -> DatasetMaker:
        """Return the function that makes datasets of images with their attributes."""
        return functools.partial(with_attributes, attribute_set=resolve_attribute_set(cfg), is_train=is_train)

    def build_evaluator(self, cfg: Any, dataset_name: str, loader: Any, num_query: int) -> Any:
        """Return the evaluator of the target and its interpreter; see :mod:`fastreid_projects.amd.evaluation.build`."""
        from .evaluation.build import build_attribute_evaluator

        return build_attribute_evaluator(self, cfg, dataset_name, loader, num_query)

    @property
    def compared_model(self) -> nn.Module:
        """The target, whose features are compared."""
        return self.target.model

    @property
    def output_names(self) -> list[str]:
        """The names of the entries along axis 1 of the output in evaluation."""
        return ["target", *self.attribute_set.names]

    @property
    def explains_returned(self) -> bool:
        """Whether the explained feature is the one that the target returns in evaluation."""
        return self.neck and not self.normalize

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(self.head.parameters()).device

    def forward(self, batched_inputs: Any) -> dict[str, Tensor] | Tensor:
        """Return the losses (training) or the features (N, 1 + M, D) (evaluation) of a host batch."""
        images = self.preprocess_image(batched_inputs)
        output, attention = self.attend(images)
        features = self.attribute_features(output, attention)
        embedding = self.embedding(output)
        if not self.training:
            return torch.cat([embedding.unsqueeze(1), features], dim=1)
        attributes = batched_inputs["attributes"].to(self.device, non_blocking=True)
        exclusive, known = exclusive_attributes(attributes)
        distances = pairwise_distances(features)
        prior = self._distances_by_place(output, attention) if self.prior_by_place else None
        pairs = PairDistances(pairwise_distances(embedding), distances, exclusive, known, prior)
        self._log_reconstruction(pairs)
        return {
            key: self.loss_scales[key] * loss(pairs, batched_inputs["targets"])
            for key, loss in self.losses.items()
        }

    def _distances_by_place(self, output: TargetOutput, attention: Tensor) -> Tensor:
        """Return d^k (N, N, M) for attention maps that have equal means and differ in shape only."""
        even = shape_alone(attention, 1 / attention.shape[1])
        return pairwise_distances(self.attribute_features(output, even))

    def preprocess_image(self, batched_inputs: Any) -> Tensor:
        """Normalise a host batch, or RGB images (N, 3, h, w) in 0..255, as the target does."""
        images: Tensor = self.target.model.preprocess_image(batched_inputs)
        return images

    def attend(self, images: Tensor, shared: Sequence[Tensor] | None = None) -> tuple[TargetOutput, Tensor]:
        """Return the target's output and the attention A (N, M, H, W) for normalised images.

        Args:
            images: (N, 3, h, w).
            shared: the maps of the shared stages, if already computed; gradients reach the last of them.
        """
        output = self.target(images) if shared is None else self.target.resume(shared[-1], list(shared))
        return output, self.head(run_stages(list(self.free_stages), output.shared))

    def embedding(self, output: TargetOutput) -> Tensor:
        """Return the target's feature, (N, D) in float32, whose distances are explained."""
        return self._full_feature(output) / self.feature_norms(output)[:, None]

    def attribute_features(self, output: TargetOutput, attention: Tensor) -> Tensor:
        """Return the attribute-guided features f^k of all branches, (N, M, D) in float32 (Eq. 1)."""
        features = torch.cat([embed(branch, attention, self.neck) for branch in output.branches], dim=2)
        return features / self.feature_norms(output)[:, None, None]

    def feature_norms(self, output: TargetOutput) -> Tensor:
        """Return the divisors (N,) of each image's features: with NORMALIZE the norm of its full feature, else 1."""
        feature = self._full_feature(output)
        if not self.normalize:
            return torch.ones_like(feature[:, 0])
        return feature.norm(dim=1).clamp(min=1e-12)

    def _full_feature(self, output: TargetOutput) -> Tensor:
        feature = output.embedding if self.neck else pooled_embedding(output.branches)
        return feature.float()

    @staticmethod
    @torch.no_grad()
    def _log_reconstruction(pairs: PairDistances) -> None:
        near = pairs.target > 0
        error = (pairs.target - pairs.attribute.sum(dim=2)).abs() / pairs.target.clamp(min=1e-12)
        get_event_storage().put_scalar("adre", (error * near).sum() / near.sum().clamp(min=1))


def _out_channels(target: FrozenTarget, size: Sequence[int]) -> int:
    """Return the number of channels of the trunk's last map, found with an image [height, width].

    The size matters, as some targets accept only one.
    """
    height, width = size if len(size) == 2 and all(size) else _ANY_SIZE
    with torch.no_grad():
        return int(run_stages(target.stages, torch.zeros(1, 3, height, width)).shape[1])
