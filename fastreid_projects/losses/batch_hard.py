"""Batch-hard triplet loss (Hermans et al. 2017): each anchor with its farthest positive and nearest negative.

| letter | meaning           |
| ------ | ----------------- |
| N      | images            |
| D      | size of a feature |

This module needs only torch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastreid_projects.losses.distances import METRICS, pair_distances
from fastreid_projects.losses.gather import gather_batch
from fastreid_projects.losses.registry import register_loss

REDUCTIONS = ("mean", "sum", "violating")


def hardest_pairs(distances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the distances to the farthest positive and to the nearest negative of each anchor.

    Args:
        distances: (N, N).
        labels: (N,) identities.

    Returns:
        The farthest positive (N,), the nearest negative (N,), and whether the anchor has both (N,) bool; if it does
        not, the values are finite and without gradient.

    Raises:
        ValueError: there is not one label per image.
    """
    same = same_identity(labels, len(distances))
    itself = torch.eye(len(distances), dtype=torch.bool, device=distances.device)
    positive, negative = same & ~itself, ~same
    valid = positive.any(dim=1) & negative.any(dim=1)
    farthest = distances.masked_fill(~positive, -1).amax(dim=1)
    nearest = distances.masked_fill(~negative, torch.finfo(distances.dtype).max).amin(dim=1)
    return farthest, nearest, valid


def batch_hard_triplet_loss(
    features: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.3,
    metric: str = "euclidean",
    soft_margin: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Return the loss [max_p d(a, p) - min_n d(a, n) + margin]_+ over the anchors with a positive and a negative.

    Args:
        features: (N, D), of any floating-point type; distances are float32.
        labels: (N,) identities.
        margin: added to the difference; not used with a soft margin.
        metric: ``"euclidean"`` or ``"cosine"`` (1 - cosine similarity).
        soft_margin: whether to use log(1 + exp(max_p d - min_n d)) instead of the hinge.
        reduction: ``"mean"`` over these anchors, ``"sum"``, or ``"violating"``: the mean over those whose loss is
            not zero.

    Returns:
        A scalar; 0 with its graph if no anchor has both.

    Raises:
        ValueError: the metric or the reduction is unknown, or the shapes do not fit.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"the reduction is '{reduction}' but has to be one of {', '.join(REDUCTIONS)}")
    distances = pair_distances(features, metric)
    if not len(features):
        return distances.sum()
    farthest, nearest, valid = hardest_pairs(distances, labels)
    difference = farthest - nearest
    losses = F.softplus(difference) if soft_margin else (difference + margin).relu()
    losses = losses * valid
    if reduction == "sum":
        return losses.sum()
    count = (losses > 0).sum() if reduction == "violating" else valid.sum()
    return losses.sum() / count.clamp(min=1)


def same_identity(labels: Tensor, count: int) -> Tensor:
    """Return an (N, N) bool tensor that says whether two images show the same identity.

    Raises:
        ValueError: there is not one label per image.
    """
    if labels.shape != (count,):
        raise ValueError(f"{count} features need labels of shape ({count},), not {tuple(labels.shape)}")
    return labels.unsqueeze(0) == labels.unsqueeze(1)


@register_loss
class BatchHardTripletLoss(nn.Module):
    """Compute :func:`batch_hard_triplet_loss` as a module: ``loss(embeddings, labels)``.

    Args:
        margin: the margin of the hinge.
        metric: ``"euclidean"`` or ``"cosine"``.
        soft_margin: whether to use a soft margin instead of the hinge.
        reduction: ``"mean"``, ``"sum"`` or ``"violating"``.
        gather: whether to mine over the features of all processes; see :mod:`fastreid_projects.losses.gather`.
    """

    inputs = "features"
    config_node = "BATCH_HARD"

    def __init__(
        self,
        margin: float = 0.3,
        metric: str = "euclidean",
        soft_margin: bool = False,
        reduction: str = "mean",
        gather: bool = False,
    ) -> None:
        super().__init__()
        for name, value, known in (("metric", metric, METRICS), ("reduction", reduction, REDUCTIONS)):
            if value not in known:
                raise ValueError(f"the {name} is '{value}' but has to be one of {', '.join(known)}")
        self.margin, self.metric, self.soft_margin = margin, metric, soft_margin
        self.reduction, self.gather = reduction, gather

    @classmethod
    def from_config(cls, cfg: Any) -> BatchHardTripletLoss:
        """Read ``MODEL.LOSSES.BATCH_HARD``."""
        node = cfg.MODEL.LOSSES.BATCH_HARD
        return cls(node.MARGIN, node.METRIC, node.SOFT_MARGIN, node.REDUCTION, node.GATHER)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of features (N, D) with labels (N,), a tensor or a list; a scalar."""
        labels = torch.as_tensor(labels, device=features.device)
        if self.gather:
            features, labels = gather_batch(features, labels)
        return batch_hard_triplet_loss(
            features,
            labels,
            margin=self.margin,
            metric=self.metric,
            soft_margin=self.soft_margin,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Show the options."""
        return (
            f"margin={self.margin}, metric={self.metric}, soft_margin={self.soft_margin}, "
            f"reduction={self.reduction}, gather={self.gather}"
        )
