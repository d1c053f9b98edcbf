"""Pretraining on identities and attributes of synthetic persons who are in no other set.

| letter | meaning                        |
| ------ | ------------------------------ |
| N      | images                         |
| M      | number of attributes           |
| D      | size of the feature            |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from fastreid.config import configurable
from fastreid.data.build import CommDataset
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY, Baseline
from torch import Tensor, nn

from fastreid_projects.contract import DatasetMaker, Source
from fastreid_projects.data.attributes import DEMO
from fastreid_projects.data.byte_transforms import as_bytes
from fastreid_projects.data.demo.dataset import DemoReID
from fastreid_projects.data.demo.plan import plan_dataset
from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.batch import move_batch
from fastreid_projects.modeling.unlabelled import training_targets


class PlannedAttributes(CommDataset):
    """The host's dataset with ``attributes``, float (M,) of 0 or 1: those in the plan of each person.

    Args:
        sources: synthetic sets with their training images.
        transform: the host's transform list.

    Raises:
        ConfigError: a set is not synthetic, so that its persons have no plan.
    """

    def __init__(self, sources: Sequence[Source], transform: Any) -> None:
        rows = []
        for source in sources:
            if not isinstance(source.dataset, DemoReID):
                raise ConfigError(
                    f"DATASETS.NAMES {source.name} is not a synthetic set, but IdentityAndAttributes learns planned "
                    "attributes: use DemoReIDOthers"
                )
            people = plan_dataset(source.dataset.spec).train
            rows += [people[int(item[1].rsplit("_", 1)[1])].attributes for item in source.items]
        items = [item for source in sources for item in source.items]
        super().__init__(items, as_bytes(transform, exact=False), relabel=True)
        self.attributes = torch.tensor(rows, dtype=torch.float32)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the host's item with ``attributes``."""
        return {**super().__getitem__(index), "attributes": self.attributes[index]}


@META_ARCH_REGISTRY.register()
class IdentityAndAttributes(Baseline):
    """The host's Baseline with a linear classifier of attributes on the feature that its triplet loss sees.

    In training it returns the Baseline's losses and ``loss_attributes``, the binary cross entropy averaged over the
    attributes; in evaluation the features (N, D).

    Args:
        feature_dim: D.
        num_attributes: M.
        baseline: the arguments of the Baseline.
    """

    @configurable
    def __init__(self, *, feature_dim: int, num_attributes: int = len(DEMO), **baseline: Any) -> None:
        super().__init__(**baseline)
        self.attribute_classifier = nn.Linear(feature_dim, num_attributes)

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Read the Baseline's config, and the size of the feature."""
        embedding = cfg.MODEL.HEADS.EMBEDDING_DIM
        return {**super().from_config(cfg), "feature_dim": embedding or cfg.MODEL.BACKBONE.FEAT_DIM}

    @staticmethod
    def own_dataset(cfg: Any, is_train: bool) -> DatasetMaker | None:
        """Return the function that adds the attributes to the training dataset."""
        return PlannedAttributes if is_train else None

    def forward(self, batched_inputs: Any) -> dict[str, Tensor] | Tensor:
        """Return the losses of a host batch with ``attributes`` (training), or the features of images (evaluation)."""
        if not self.training:
            features: Tensor = super().forward(batched_inputs)
            return features
        batch = move_batch(batched_inputs, self.device)
        targets, read = training_targets(batch["targets"])
        outputs = self.heads(self.backbone(self.preprocess_image(batch)), targets)
        if not read:
            return {}
        losses: dict[str, Tensor] = self.losses(outputs, targets)
        logits = self.attribute_classifier(outputs["features"]).float()
        losses["loss_attributes"] = F.binary_cross_entropy_with_logits(logits, batch["attributes"].to(logits))
        return losses
