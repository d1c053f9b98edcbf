"""Batch-hard contrastive loss (BCL), with which the paper compares FIDI (tables I and II).

The paper derives the contrastive loss from Eq. 1, with d(a, n) + m = 0 for similar and d(a, p) = 0 for dissimilar
pairs, and uses batch-hard pairs. This module needs only torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fastreid_projects.losses.batch_hard import same_identity
from fastreid_projects.losses.distances import euclidean_distances
from fastreid_projects.losses.gather import gather_batch
from fastreid_projects.losses.registry import register_loss


def batch_hard_contrastive_loss(
    features: Tensor, labels: Tensor, *, margin: float = 0.3, squared: bool = False
) -> Tensor:
    """Return max_p d(a, p) + [margin - min_n d(a, n)]_+, as means over the anchors with a positive or a negative.

    Args:
        features: (N, D), unnormalised, of any floating-point type; distances are float32.
        labels: (N,) identities.
        margin: m, the distance from which a negative costs nothing.
        squared: whether to use half the squares of both terms, as in Hadsell et al. 2006.

    Returns:
        A scalar; 0 with its graph if there are no pairs.

    Raises:
        ValueError: the shapes do not fit.
    """
    same = same_identity(labels, len(features))
    distances = euclidean_distances(features)
    if not len(features):
        return distances.sum()
    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
    positive, negative = same & ~itself, ~same
    pull = distances.masked_fill(~positive, 0).amax(dim=1)
    push = (margin - distances.masked_fill(~negative, torch.finfo(distances.dtype).max).amin(dim=1)).relu()
    if squared:
        pull, push = pull.square() / 2, push.square() / 2
    return _mean(pull, positive.any(dim=1)) + _mean(push, negative.any(dim=1))


def _mean(values: Tensor, anchors: Tensor) -> Tensor:
    return (values * anchors).sum() / anchors.sum().clamp(min=1)


@register_loss
class BatchHardContrastiveLoss(nn.Module):
    """Compute :func:`batch_hard_contrastive_loss` as a module: ``loss(embeddings, labels)``.

    Args:
        margin: m.
        squared: whether to use half the squares of both terms.
        gather: whether to mine over the features of all processes; see :mod:`fastreid_projects.losses.gather`.
    """

    inputs = "features"
    config_node = "BCL"

    def __init__(self, margin: float = 0.3, squared: bool = False, gather: bool = False) -> None:
        super().__init__()
        self.margin, self.squared, self.gather = margin, squared, gather

    @classmethod
    def from_config(cls, cfg: Any) -> BatchHardContrastiveLoss:
        """Read ``MODEL.LOSSES.BCL``."""
        node = cfg.MODEL.LOSSES.BCL
        return cls(node.MARGIN, node.SQUARED, node.GATHER)

    def forward(self, embeddings: Tensor, labels: Tensor | Sequence[int]) -> Tensor:
        """Return the loss of embeddings (N, D) with labels (N,), a scalar."""
        ids = torch.as_tensor(labels, device=embeddings.device)
        if self.gather:
            embeddings, ids = gather_batch(embeddings, ids)
        return batch_hard_contrastive_loss(embeddings, ids, margin=self.margin, squared=self.squared)

    def extra_repr(self) -> str:
        """Show the options."""
        return f"margin={self.margin}, squared={self.squared}, gather={self.gather}"
