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
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from fastreid.modeling.heads.clas_head import ClasHead
from torch import Tensor, nn

from fastreid_projects.contract import Branch, output_kind
from fastreid_projects.errors import ConfigError
from fastreid_projects.visualization.contributions.opening import Opener, branches_of, trunk
from fastreid_projects.visualization.contributions.pooling import pooling_of

from .decomposition import apply_neck, resize_attention


class TargetOutput(NamedTuple):
    """The output of one pass through the target.

    Attributes:
        shared: the map after the N shared stages, where the interpreter starts.
        branches: the last maps with their pooling and neck.
        embedding: the feature that the target returns in evaluation, (N, D).
    """

    shared: Tensor
    branches: list[Branch]
    embedding: Tensor


class FrozenTarget(nn.Module):
    """A trained host model that never changes: no gradient, always in eval mode.

    Args:
        model: ``Baseline`` or ``MGN`` of the host (or a subclass), or an :class:`Explainable`, with its weights.
        shared_stages: N, the number of stages after which the interpreter starts, 1..5.
    """

    def __init__(self, model: nn.Module, shared_stages: int) -> None:
        super().__init__()
        self.model: Any = model
        self.shared_stages = shared_stages
        self._branches = _opener(model)
        self._stages = tuple(trunk(model))  # a tuple, so that the model's parameters are not registered twice
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        self.train(False)

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The five stages of the (first) trunk."""
        return self._stages

    def train(self, mode: bool = True) -> FrozenTarget:
        """Stay in eval mode, whatever ``mode`` is."""
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> TargetOutput:
        """Return the shared map, the branches and the embedding of normalised images (N, 3, h, w)."""
        return self.resume(images, [])

    def resume(self, x: Tensor, maps: list[Tensor]) -> TargetOutput:
        """Return the output when some stages are already computed; gradients reach x.

        Args:
            x: the input of the next stage: a map, or the images.
            maps: the maps of the stages so far; the last one is x.
        """
        rest = self._stages[len(maps) :]
        maps = maps + list(itertools.accumulate(rest, lambda y, stage: stage(y), initial=x))[1:]
        branches = self._branches(maps)
        embedding = torch.cat([branch.embedding() for branch in branches], dim=1)
        return TargetOutput(maps[self.shared_stages - 1], branches, embedding)


def branch_attention(branches: Sequence[Branch], attention: Tensor) -> list[Tensor]:
    """Return the attention A (N, M, h, w), resized to the map of each branch."""
    sizes = [(branch.features.shape[-2], branch.features.shape[-1]) for branch in branches]
    return [resize_attention(attention, size) for size in sizes]


def embed(branch: Branch, attention: Tensor, neck: bool) -> Tensor:
    """Return the attribute-guided features of a branch: F * A^k, pooled, and passed through the branch's neck.

    Args:
        branch: a branch of the target.
        attention: (N, M, h, w), resized to the branch's map.
        neck: whether to apply the neck.

    Returns:
        (N, M, D of the branch), float32.
    """
    (resized,) = branch_attention([branch], attention)
    pooled = pooling_of(branch.pool)(branch.cut(branch.features), branch.cut(resized))
    return apply_neck(branch.neck, pooled) if neck else pooled


def pooled_embedding(branches: list[Branch]) -> Tensor:
    """Return the target's feature before its necks, (N, D)."""
    return torch.cat([branch.pooled().flatten(1) for branch in branches], dim=1)


def _opener(model: nn.Module) -> Opener:
    """Return the function that turns the maps after the five stages into branches."""
    if output_kind(model) != "features":
        raise ConfigError(
            f"AMD cannot explain the architecture {type(model).__name__}: it returns {output_kind(model)}, not a "
            "feature with distances; let MODEL.AMD.TARGET.CONFIG name a model that returns features"
        )
    opener = branches_of(model)
    if opener is not None:
        return opener
    if isinstance(dict(model.named_children()).get("heads"), ClasHead):
        raise ConfigError(
            "AMD cannot explain a target whose MODEL.HEADS.NAME is ClasHead: it returns logits of classes, not a "
            "feature with distances; name a model with an EmbeddingHead"
        )
    raise ConfigError(
        f"AMD cannot explain the architecture {type(model).__name__}; the target's MODEL.META_ARCHITECTURE has to be "
        "Baseline (with an EmbeddingHead), MGN or one of this project's that has explained_branches"
    )
