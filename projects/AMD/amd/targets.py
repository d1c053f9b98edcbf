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

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from fastreid.layers import pooling as host_pooling
from fastreid.modeling.meta_arch.baseline import Baseline
from fastreid.modeling.meta_arch.mgn import MGN
from torch import Tensor, nn

from fastreid_projects.amd.decomposition import Pooling, apply_neck, resize_attention
from fastreid_projects.amd.stages import run_stages, split_stages
from fastreid_projects.errors import ConfigError


class Branch(NamedTuple):
    """One pooled part of the target's feature.

    Attributes:
        features: the branch's whole last map, (N, C, H, W).
        head: the host's head on it.
        stripe: (i, n): the i-th of n horizontal stripes of the map; (0, 1) is the whole map.
    """

    features: Tensor
    head: Any
    stripe: tuple[int, int] = (0, 1)

    def cut(self, maps: Tensor) -> Tensor:
        """The branch's stripe of maps (N, *, H, W)."""
        index, count = self.stripe
        return maps if count == 1 else torch.chunk(maps, count, dim=2)[index]


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
        model: ``Baseline`` or ``MGN`` of the host (or a subclass), with its weights.
        shared_stages: N, after how many stages the interpreter starts, 1..5.
    """

    def __init__(self, model: nn.Module, shared_stages: int) -> None:
        super().__init__()
        self.model = model
        self.shared_stages = shared_stages
        self._open = _opener(model)
        self._stages = tuple(trunk(model))  # a tuple: their parameters are the model's, not registered twice
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        for branch_head in _heads(model):
            pooling_of(branch_head.pool_layer)
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
        shared = run_stages(self._stages[: self.shared_stages], images)
        branches = self._open(self.model, self._stages, self.shared_stages, shared, images)
        embedding = torch.cat([branch.head(branch.cut(branch.features)) for branch in branches], dim=1)
        return TargetOutput(shared, branches, embedding)


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
    pooled = pooling_of(branch.head.pool_layer)(branch.cut(branch.features), branch.cut(resized))
    return apply_neck(branch.head.bottleneck, pooled) if neck else pooled


def pooled_embedding(branches: list[Branch]) -> Tensor:
    """The target's feature before its necks, (N, D)."""
    pooled = [branch.head.pool_layer(branch.cut(branch.features)).flatten(1) for branch in branches]
    return torch.cat(pooled, dim=1)


def pooling_of(layer: nn.Module) -> Pooling:
    """What a pooling layer of the host does.

    Raises:
        ConfigError: the layer is none that F * A^k can be pooled with.
    """
    if isinstance(layer, host_pooling.GeneralizedMeanPooling):
        return Pooling("mean", float(layer.p), floor=layer.eps)
    if isinstance(layer, (host_pooling.GlobalAvgPool, host_pooling.FastGlobalAvgPool)):
        return Pooling()
    if isinstance(layer, host_pooling.ClipGlobalAvgPool):
        return Pooling(ceiling=1.0)
    if isinstance(layer, host_pooling.GlobalMaxPool):
        return Pooling("max")
    if isinstance(layer, host_pooling.AdaptiveAvgMaxPool):
        return Pooling("mean+max")
    raise ConfigError(
        f"the target pools with {type(layer).__name__}, which AMD cannot decompose; its MODEL.HEADS.POOL_LAYER has "
        "to be an average, maximum or generalised mean pooling"
    )


_Opener = Callable[[Any, tuple[nn.Module, ...], int, Tensor, Tensor], list[Branch]]


def _opener(model: nn.Module) -> _Opener:
    if isinstance(model, MGN):
        return _open_mgn
    if isinstance(model, Baseline) and all(
        hasattr(model.heads, name) for name in ("pool_layer", "bottleneck")
    ):
        return _open_baseline
    raise ConfigError(
        f"AMD cannot explain the architecture {type(model).__name__}; the target's MODEL.META_ARCHITECTURE has to be "
        "Baseline (with an EmbeddingHead) or MGN"
    )


def trunk(model: Any) -> list[nn.Module]:
    """The five stages from the image to the (first) last map; they share the model's parameters."""
    if not isinstance(model, MGN):
        return split_stages(model.backbone)
    # mgn.py:102-112: conv1, bn1, relu, maxpool, layer1, layer2, layer3[0]; a branch is layer3[1:], layer4.
    backbone, (conv4, conv5) = model.backbone, model.b1
    return [backbone[:4], backbone[4], backbone[5], nn.Sequential(backbone[6], conv4), conv5]


def _heads(model: Any) -> list[Any]:
    if not isinstance(model, MGN):
        return [model.heads]
    names = ("b1", "b2", "b3", "b21", "b22", "b31", "b32", "b33")
    return [getattr(model, f"{name}_head") for name in names]


def _open_baseline(
    model: Any, stages: tuple[nn.Module, ...], done: int, shared: Tensor, images: Tensor
) -> list[Branch]:
    return [Branch(run_stages(stages[done:], shared), model.heads)]


def _open_mgn(
    model: Any, stages: tuple[nn.Module, ...], done: int, shared: Tensor, images: Tensor
) -> list[Branch]:
    """Branches in the order of the concatenated feature (mgn.py:250)."""
    common = run_stages(stages[done:3], shared) if done <= 3 else run_stages(stages[:3], images)
    common = model.backbone[6](common)
    b1, b2, b3 = (neck(common) for neck in (model.b1, model.b2, model.b3))
    heads = iter(_heads(model))
    whole = [Branch(maps, next(heads)) for maps in (b1, b2, b3)]
    halves = [Branch(b2, next(heads), (i, 2)) for i in range(2)]
    thirds = [Branch(b3, next(heads), (i, 3)) for i in range(3)]
    return [*whole, *halves, *thirds]
