"""The frozen target model, opened at its last feature maps.

| letter | meaning                                    |
| ------ | ------------------------------------------ |
| N      | images                                     |
| C      | channels of a branch's last feature map    |
| H x W  | size of that map                           |
| M      | attributes                                 |
| D      | size of the concatenated feature           |
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from fastreid.layers import pooling as host_pooling
from fastreid.modeling.heads.clas_head import ClasHead
from fastreid.modeling.meta_arch.baseline import Baseline
from fastreid.modeling.meta_arch.mgn import MGN
from torch import Tensor, nn

from fastreid_projects.contract import Branch, Explainable, output_kind
from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.backbone_stages import split_stages

from .decomposition import Pooling, apply_neck, resize_attention


class TargetOutput(NamedTuple):
    """What one pass through the target gives.

    Attributes:
        shared: map after the N shared stages, where the interpreter starts.
        branches: the last maps.
        embedding: the feature that the target returns at evaluation, (N, D).
    """

    shared: Tensor
    branches: list[Branch]
    embedding: Tensor


class FrozenTarget(nn.Module):
    """A trained host model that never changes: no gradient, always in eval mode.

    Args:
        model: ``Baseline`` or ``MGN`` of the host (or a subclass), or an :class:`Explainable`, with its weights.
        shared_stages: N, after how many stages the interpreter starts, 1..5.
    """

    def __init__(self, model: nn.Module, shared_stages: int) -> None:
        super().__init__()
        self.model: Any = model
        self.shared_stages = shared_stages
        self._branches = _opener(model)
        self._stages = tuple(trunk(model))  # a tuple: their parameters are the model's, not registered twice
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        self.train(False)

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The five stages of the (first) trunk."""
        return self._stages

    def train(self, mode: bool = True) -> FrozenTarget:
        """Stay in eval mode, whatever is asked."""
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> TargetOutput:
        """Normalised images (N, 3, h, w) -> shared map, branches, embedding."""
        maps = list(itertools.accumulate(self._stages, lambda x, stage: stage(x), initial=images))[1:]
        branches = self._branches(maps)
        embedding = torch.cat([branch.embedding() for branch in branches], dim=1)
        return TargetOutput(maps[self.shared_stages - 1], branches, embedding)


def embed(branch: Branch, attention: Tensor, neck: bool) -> Tensor:
    """Attribute-guided features of a branch: pool F * A^k, then the branch's neck.

    Args:
        branch: a branch of the target.
        attention: (N, M, h, w), resized to the branch's map.
        neck: apply the neck.

    Returns:
        (N, M, D of the branch), float32.
    """
    resized = resize_attention(attention, (branch.features.shape[-2], branch.features.shape[-1]))
    pooled = pooling_of(branch.pool)(branch.cut(branch.features), branch.cut(resized))
    return apply_neck(branch.neck, pooled) if neck else pooled


def pooled_embedding(branches: list[Branch]) -> Tensor:
    """The target's feature before its necks, (N, D)."""
    return torch.cat([branch.pooled().flatten(1) for branch in branches], dim=1)


def pooling_of(layer: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """How to pool F * A^k of all k for a pooling layer: (N, C, H, W), (N, M, H, W) -> (N, M, C).

    Averages, generalised means and maxima of the host have a fast and exact way. Any other layer is applied to
    F * A^k itself, attribute by attribute: as Eq. 1 says, at M times the cost.
    """
    if isinstance(layer, host_pooling.GeneralizedMeanPooling):
        return Pooling("mean", float(layer.p), floor=layer.eps)
    whole = getattr(layer, "output_size", 1) in (1, (1, 1))
    if (isinstance(layer, nn.AdaptiveAvgPool2d) and whole) or isinstance(
        layer, host_pooling.FastGlobalAvgPool
    ):
        return Pooling()
    if isinstance(layer, host_pooling.ClipGlobalAvgPool):
        return Pooling(ceiling=1.0)
    if isinstance(layer, nn.AdaptiveMaxPool2d) and whole:
        return Pooling("max")
    if isinstance(layer, host_pooling.AdaptiveAvgMaxPool):
        return Pooling("mean+max")
    return partial(pool_plainly, layer)


def pool_plainly(layer: nn.Module, features: Tensor, attention: Tensor) -> Tensor:
    """Apply a pooling layer to F * A^k (Eq. 1), one attribute at a time: (N, M, C) in float32."""
    with torch.autocast(features.device.type, enabled=False):
        parts = [layer(features.float() * attention[:, k : k + 1]) for k in range(attention.shape[1])]
    return torch.stack([part.flatten(1) for part in parts], dim=1)


_Opener = Callable[[Sequence[Tensor]], list[Branch]]


def _opener(model: nn.Module) -> _Opener:
    """What makes branches of the maps after the five stages."""
    if output_kind(model) != "features":
        raise ConfigError(
            f"AMD cannot explain the architecture {type(model).__name__}: it returns {output_kind(model)}, not a "
            "feature with distances; let MODEL.AMD.TARGET.CONFIG name a model that returns features"
        )
    if isinstance(model, Explainable):
        return model.explained_branches
    if isinstance(model, MGN):
        return partial(_mgn_branches, model)
    heads: Any = dict(model.named_children()).get("heads")
    if isinstance(heads, ClasHead):
        raise ConfigError(
            "AMD cannot explain a target whose MODEL.HEADS.NAME is ClasHead: it returns logits of classes, not a "
            "feature with distances; name a model with an EmbeddingHead"
        )
    if isinstance(model, Baseline) and {"pool_layer", "bottleneck"} <= dict(heads.named_children()).keys():
        return partial(_baseline_branches, model)
    raise ConfigError(
        f"AMD cannot explain the architecture {type(model).__name__}; the target's MODEL.META_ARCHITECTURE has to be "
        "Baseline (with an EmbeddingHead), MGN or one of this project's that has explained_branches"
    )


def trunk(model: Any) -> list[nn.Module]:
    """The five stages from the image to the (first) last map; they share the model's parameters."""
    if isinstance(model, Explainable):
        return model.explained_stages()
    if not isinstance(model, MGN):
        return split_stages(model.backbone)
    # mgn.py:102-112: conv1, bn1, relu, maxpool, layer1, layer2, layer3[0]; a branch is layer3[1:], layer4.
    backbone, (conv4, conv5) = model.backbone, model.b1
    return [backbone[:4], backbone[4], backbone[5], nn.Sequential(backbone[6], conv4), conv5]


def _baseline_branches(model: Any, maps: Sequence[Tensor]) -> list[Branch]:
    return [Branch(maps[-1], model.heads.pool_layer, model.heads.bottleneck)]


def _mgn_branches(model: Any, maps: Sequence[Tensor]) -> list[Branch]:
    """Branches in the order of the concatenated feature (mgn.py:250)."""
    common = model.backbone[6](maps[2])
    b1, b2, b3 = maps[-1], model.b2(common), model.b3(common)
    parts = [
        *(("b1", b1, (0, 1)), ("b2", b2, (0, 1)), ("b3", b3, (0, 1))),
        *((f"b2{i + 1}", b2, (i, 2)) for i in range(2)),
        *((f"b3{i + 1}", b3, (i, 3)) for i in range(3)),
    ]
    heads: Any = dict(model.named_children())
    made = [(heads[f"{name}_head"], features, stripe) for name, features, stripe in parts]
    return [Branch(features, head.pool_layer, head.bottleneck, stripe) for head, features, stripe in made]
