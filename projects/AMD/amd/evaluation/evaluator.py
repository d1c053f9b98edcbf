"""Scores of a target and of its interpreter, side by side (sec. 4.3), in one pass over the test images.

| letter | meaning                          |
| ------ | -------------------------------- |
| N      | images of a batch                |
| M      | attributes                       |
| D      | size of a feature                |
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from fastreid.evaluation.evaluator import DatasetEvaluator
from fastreid.utils import comm
from torch import Tensor

from fastreid_projects.data.attributes import AttributeSet
from fastreid_projects.evaluation.counts import Counts, count, in_words
from fastreid_projects.evaluation.distance import check_finite, iter_distances
from fastreid_projects.evaluation.ranking import RankingMeter, own_cameras

from .faithfulness import MaskAttention
from .feature_store import FeatureStore
from .scores import Scoring, TargetDistances
from .tables import attention_table, results_table

logger = logging.getLogger("fastreid.projects.amd")

# (evaluator, the target's features that are explained, results so far) -> more results.
Study = Callable[["AttributeEvaluator", Tensor, dict[str, float]], dict[str, float]]
TargetFeatures = Callable[[dict[str, Any]], Tensor]


class AttributeEvaluator(DatasetEvaluator):
    """Rank-k, mAP and mINP of the target (``target_*``) and of its interpreter, ADRE, X-mAP_e and X-mAP_c.

    X-mAP stands beside that of a random order of the attributes. Where the dataset knows the true pixels of its
    attributes, the share of attention that falls on them stands beside their share of the image.

    Args:
        num_query: the first so many images are queries.
        num_images: images of the whole test set.
        attribute_set: what the M attributes mean.
        target_distances: (query, gallery) features -> chunks of (slice of queries, distances), as the target itself
            is scored (``TEST.METRIC``, re-ranking, query expansion); Euclidean by default.
        chunk: queries at a time.
        half: keep the attribute features in float16.
        device: where distances are computed; the CPU by default.
        target_features: host batch -> the features (N, any size) that the target returns and is scored by, where they
            are not those that are explained.
        placeless_features: host batch -> f^k (N, M, D) with A replaced by its mean over the positions, whose scores
            stand beside the others (``placeless_*``); None leaves them out.
        mask_attention: measures attention against true masks, or None.
        same_camera: a match by the query's own camera counts, too (``TEST.SAME_CAMERA``).
        gamma: also rank by distances re-weighted by Eq. 12 with this weight; 0 does not.
        count_unlabelled: X-mAP also of images without attributes, as if each attribute had its first value.
        junk: images that the dataset left out.
        ranking_meter: (identities, cameras) of a gallery -> what ranks it (``TEST.TIES``, ``TEST.AP``).
        studies: what else is measured or written once the scores are there, in this order.
    """

    def __init__(
        self,
        num_query: int,
        num_images: int,
        attribute_set: AttributeSet,
        *,
        target_distances: TargetDistances = iter_distances,
        chunk: int = 1024,
        half: bool = True,
        device: torch.device | None = None,
        target_features: TargetFeatures | None = None,
        placeless_features: TargetFeatures | None = None,
        mask_attention: MaskAttention | None = None,
        same_camera: bool = False,
        gamma: float = 0.0,
        count_unlabelled: bool = False,
        junk: int = 0,
        ranking_meter: Callable[..., RankingMeter] = RankingMeter,
        studies: Sequence[Study] = (),
    ) -> None:
        self.num_query = num_query
        self.num_images = num_images
        self.attribute_set = attribute_set
        self.target_distances = target_distances
        self.chunk = chunk
        self.half = half
        self.device = device or torch.device("cpu")
        self.target_features = target_features
        self.placeless_features = placeless_features
        self.mask_attention = mask_attention
        self.same_camera = same_camera
        self.gamma = gamma
        self.count_unlabelled = count_unlabelled
        self.junk = junk
        self.ranking_meter = ranking_meter
        self.studies = studies
        self.counts: Counts = {}
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._labels: list[tuple[Tensor, Tensor, Tensor, list[str]]] = []
        self._embeddings: list[Tensor] = []
        self._returned: list[Tensor] = []
        stores = [
            FeatureStore(len(self.attribute_set), self._local_images(), half=self.half) for _ in range(2)
        ]
        self._features, self._placeless = stores
        if self.mask_attention is not None:
            self.mask_attention.reset()

    def process(self, inputs: dict[str, Any], outputs: Tensor) -> None:
        """Take a batch and the model's features of it, (N, 1 + M, D).

        Raises:
            DataError: features are not finite; names the images.
        """
        check_finite(outputs, inputs["img_paths"])
        queries = self.num_query - comm.get_rank() * self._local_images() - self._features.count
        self._features.add(outputs[:, 1:], inputs["img_paths"])
        if self.placeless_features is not None:
            self._placeless.add(self.placeless_features(inputs), inputs["img_paths"])
        self._embeddings.append(_kept(outputs[:, 0]))
        if self.target_features is not None:
            returned = self.target_features(inputs)
            check_finite(returned, inputs["img_paths"])
            self._returned.append(_kept(returned))
        self._labels.append(
            (inputs["targets"].cpu(), inputs["camids"].cpu(), inputs["attributes"].cpu(), inputs["img_paths"])
        )
        if self.mask_attention is not None and queries > 0:  # those of this batch come first
            self.mask_attention.update({key: value[:queries] for key, value in inputs.items()})

    def _local_images(self) -> int:
        """Images of a process; the last ones may have fewer (data/samplers/data_sampler.py:75)."""
        return -(-self.num_images // comm.get_world_size())

    def evaluate(self) -> dict[str, float]:
        """The metrics in per cent, on the main process; {} on the others."""
        features = self._features.gather()
        placeless = None if self.placeless_features is None else self._placeless.gather()
        gathered = comm.gather((self._embeddings, self._labels, self._returned), dst=0)
        if self.mask_attention is not None:
            self.mask_attention.gather()
        if not comm.is_main_process():
            return {}
        embeddings = torch.cat([e for part in gathered for e in part[0]])
        labels = list(itertools.chain.from_iterable(part[1] for part in gathered))
        pids, camids, attributes = (torch.cat([row[i] for row in labels]) for i in range(3))
        paths = [path for row in labels for path in row[3]]
        returned = [feature for part in gathered for feature in part[2]]
        scored = torch.cat(returned) if returned else None
        results = self.evaluate_features(
            embeddings, features, pids, camids, attributes, paths, scored, placeless, self._features.centre
        )
        if self.mask_attention is not None:
            logger.info(
                "Attention by attribute:\n%s", attention_table(self.mask_attention, self.attribute_set)
            )
        logger.info("AMD evaluation:\n%s", results_table(results))
        logger.info(in_words(self.counts))
        return results

    def evaluate_features(
        self,
        embeddings: Tensor,
        features: Tensor,
        pids: Tensor,
        camids: Tensor,
        attributes: Tensor,
        paths: list[str],
        returned: Tensor | None = None,
        placeless: Tensor | None = None,
        centre: Tensor | None = None,
    ) -> dict[str, float]:
        """The metrics of features that are there already, queries first.

        Args:
            embeddings: the target's features that are explained, (images, D).
            features: f^k, (M, images, D), or all f^k less one vector of the attribute.
            pids: (images,).
            camids: (images,).
            attributes: (images, M) of 0, 1 or -1.
            paths: names of the images, for the report; [] where none is written.
            returned: the features that the target is scored by, (images, any size); by default the explained ones.
            placeless: f^k with A replaced by its mean over the positions, as ``features``.
            centre: (M, D), what ``features`` are less; None where they are whole.

        Raises:
            DataError: features are NaN, or no query has a match.
        """
        if self.same_camera:
            camids = torch.from_numpy(own_cameras(len(pids), paths))
        self.pids, self.camids, self.attributes, self.paths = pids, camids, attributes, paths
        self.features, self.centre = features, centre
        scoring = Scoring(
            *(self.num_query, pids, camids, attributes, self.target_distances, self.ranking_meter),
            *(self.chunk, self.device, self.gamma, self.count_unlabelled),
        )
        ranking, results = scoring.scores(
            embeddings, features, embeddings if returned is None else returned, placeless
        )
        self.counts = {**count(ranking, len(pids) - self.num_query), "junk": self.junk}
        if self.mask_attention is not None:
            results.update(self.mask_attention.compute())
        results["metric"] = (results["mAP"] + results["Rank-1"]) / 2
        for study in self.studies:
            results.update(study(self, embeddings, results))
        return results


def _kept(features: Tensor) -> Tensor:
    """Features of a batch on the CPU, as a copy: a view would keep the whole batch alive."""
    return features.to("cpu", torch.float32, copy=True)
