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

# (evaluator, explained features of the target, results so far) -> more results.
Study = Callable[["AttributeEvaluator", Tensor, dict[str, float]], dict[str, float]]
TargetFeatures = Callable[[dict[str, Any]], Tensor]


class AttributeEvaluator(DatasetEvaluator):
    """Compute Rank-k, mAP and mINP of the target (``target_*``) and its interpreter, ADRE, X-mAP_e and X-mAP_c.

    X-mAP is printed beside that of a random order of the attributes. If the dataset knows the true pixels of its
    attributes, the share of attention that falls on them is printed beside their share of the image.

    Args:
        num_query: number of queries, which come first.
        num_images: number of images in the whole test set.
        attribute_set: the M attributes.
        target_distances: (query, gallery) features -> chunks of (slice of queries, distances), as the target itself
            is scored (``TEST.METRIC``, re-ranking, query expansion); Euclidean by default.
        chunk: number of queries at a time.
        half: whether to keep the attribute features in float16.
        device: device that computes the distances; the CPU by default.
        target_features: host batch -> the features (N, any size) that the target returns and is scored by, if they
            are not the explained ones.
        placeless_features: host batch -> f^k (N, M, D) with A replaced by its mean over the positions, which are
            scored as ``placeless_*``; None leaves them out.
        mask_attention: measures attention against true masks; None without masks.
        same_camera: whether matches by the query's own camera count (``TEST.SAME_CAMERA``).
        gamma: weight of Eq. 12, by which re-weighted distances are ranked, too; 0 leaves them out.
        count_unlabelled: whether X-mAP includes images without attributes, with the first value of each attribute.
        junk: the images that the dataset left out.
        ranking_meter: (identities, cameras) of a gallery -> the meter that ranks it (``TEST.TIES``, ``TEST.AP``).
        studies: what to measure or write after the scores, in this order.
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
        """Add a batch and its features (N, 1 + M, D).

        Raises:
            DataError: features are not finite; the message names the images.
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
        """Return the number of images of each process; the last may have fewer (data/samplers/data_sampler.py:75)."""
        return -(-self.num_images // comm.get_world_size())

    def evaluate(self) -> dict[str, float]:
        """Return the metrics in per cent, on the main process; {} on the others."""
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
        """Return the metrics of given features, queries first.

        Args:
            embeddings: the explained features of the target, (images, D).
            features: f^k, (M, images, D), or f^k minus ``centre``.
            pids: (images,).
            camids: (images,).
            attributes: (images, M) of 0, 1 or -1.
            paths: names of the images, for the report; [] if there is no report.
            returned: the features that the target is scored by, (images, any size); by default the explained ones.
            placeless: f^k with A replaced by its mean over the positions, in the form of ``features``.
            centre: (M, D), the vectors subtracted from ``features``; None if nothing was subtracted.

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
    """Return a copy of a batch's features on the CPU; a view would keep the whole batch alive."""
    return features.to("cpu", torch.float32, copy=True)
