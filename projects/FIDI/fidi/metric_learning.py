"""FIDI as a loss of pytorch-metric-learning (tried with 2.9.0), with its miners, reducers and distances.

Nothing else here requires that package: ``pip install pytorch-metric-learning``.
"""

from __future__ import annotations

from typing import Any

import torch
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity, LpDistance
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.reducers import BaseReducer, MeanReducer, SumReducer
from pytorch_metric_learning.utils import loss_and_miner_utils as pairs
from torch import Tensor

from fastreid_projects.losses.distances import euclidean_distances, wide

from .losses import check_options, pair_losses


class EuclideanDistance(LpDistance):
    """Euclidean distance of unnormalised embeddings, as in :class:`fastreid_projects.fidi.losses.FIDILoss`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"normalize_embeddings": False, **kwargs})

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Return distances (queries, references), which are exact for near pairs of one batch."""
        return (
            euclidean_distances(query_emb)
            if query_emb is ref_emb
            else super().compute_mat(query_emb, ref_emb)
        )


class FIDIMetricLoss(BaseMetricLossFunction):
    """Compute Eq. 4-6 over the pairs that a miner chooses, or over all pairs.

    Args:
        alpha: above 1.
        beta: above 0.
        reduction: ``"mean"`` and ``"sum"`` pass all pairs to the reducer at once; ``"balanced"`` passes the pairs of
            one identity and the others separately, and adds the two. With the default reducer, which is a sum for
            ``"sum"`` and otherwise a mean, the values are those of ``FIDILoss``; a given reducer replaces it.
        distance: a distance, or ``CosineSimilarity``, which is used as 1 - similarity; Euclidean by default.

    Raises:
        ValueError: a parameter is out of its range, or the similarity cannot be turned into a distance.
    """

    def __init__(
        self, alpha: float = 1.05, beta: float = 0.5, reduction: str = "mean", **kwargs: Any
    ) -> None:
        check_options(alpha, beta, reduction)
        self.reduction = reduction  # the parent's constructor asks for the names of the sub-losses
        super().__init__(**kwargs)
        if self.distance.is_inverted and not isinstance(self.distance, CosineSimilarity):
            raise ValueError(
                f"FIDI needs a distance, but {type(self.distance).__name__} is a similarity without an upper bound"
            )
        self.alpha, self.beta = alpha, beta
        self.add_to_recordable_attributes(list_of_names=["alpha", "beta"], is_stat=False)

    def get_default_reducer(self) -> BaseReducer:
        """Return a plain sum for the reduction ``"sum"``, else a plain mean."""
        return SumReducer() if self.reduction == "sum" else MeanReducer()

    def get_default_distance(self) -> BaseDistance:
        """Return the Euclidean distance of unnormalised embeddings."""
        return EuclideanDistance()

    def compute_loss(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: tuple[Tensor, ...] | None,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
    ) -> dict[str, dict[str, Any]]:
        """Return the losses of the pairs, by name, for the reducer."""
        a1, p, a2, n = pairs.convert_to_pairs(indices_tuple, labels, ref_labels)
        with torch.autocast(embeddings.device.type, enabled=False):
            # Its distances check by ``is`` whether a batch is compared with itself or with another one.
            own = ref_emb is embeddings
            embeddings = wide(embeddings)
            distances = self.distance(embeddings, embeddings if own else wide(ref_emb))
        if self.distance.is_inverted:
            distances = 1 - distances
        positive, negative = self._losses(distances[a1, p], True), self._losses(distances[a2, n], False)
        if self.reduction == "balanced":
            return {
                "pos_loss": _for_reducer(positive, (a1, p), "pos_pair"),
                "neg_loss": _for_reducer(negative, (a2, n), "neg_pair"),
            }
        indices = (torch.cat([a1, a2]), torch.cat([p, n]))
        return {"loss": _for_reducer(torch.cat([positive, negative]), indices, "pos_pair")}

    def _losses(self, distances: Tensor, same: bool) -> Tensor:
        return pair_losses(
            distances, torch.full_like(distances, same, dtype=torch.bool), self.alpha, self.beta
        )

    def _sub_loss_names(self) -> list[str]:
        return ["pos_loss", "neg_loss"] if self.reduction == "balanced" else ["loss"]


def _for_reducer(losses: Tensor, indices: tuple[Tensor, Tensor], kind: str) -> dict[str, Any]:
    if not len(losses):
        return {"losses": 0, "indices": None, "reduction_type": "already_reduced"}
    return {"losses": losses, "indices": indices, "reduction_type": kind}
