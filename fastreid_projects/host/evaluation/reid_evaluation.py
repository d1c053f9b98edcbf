"""Patches of the host's evaluation.

| host's defect                                                   | where                             |
| --------------------------------------------------------------- | --------------------------------- |
| compiles Cython in site-packages, exits if it cannot           | evaluation/reid_evaluation.py:128 |
| fails or errs on small galleries, keeps the Q x G matrix, slow  | evaluation/rank.py:103            |
| swaps TPR and FPR of verification, as 0..1 among percentages    | evaluation/reid_evaluation.py:116 |
| features of NaN are ranked without an error                     | evaluation/reid_evaluation.py:54  |
| re-ranking needs a CUDA build of faiss, keeps N x N matrices    | utils/compute_dist.py:53          |
| re-ranking depends on the scale of the features                 | utils/compute_dist.py:79          |
| query expansion fails for few images, keeps an N x N matrix     | evaluation/query_expansion.py:37  |
| warns at import that Cython is missing                          | evaluation/rank.py:13, roc.py:17  |
"""

from __future__ import annotations

import itertools
import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from fastreid_projects.errors import DataError
from fastreid_projects.evaluation.chunks import Chunks, distance_device, make_chunks
from fastreid_projects.evaluation.counts import Counts, count, in_words
from fastreid_projects.evaluation.distance import check_finite
from fastreid_projects.evaluation.fidelity import fidelity_errors
from fastreid_projects.evaluation.gathering import gather_predictions
from fastreid_projects.evaluation.multi_query import merge_queries
from fastreid_projects.evaluation.protocol import ranking_meter
from fastreid_projects.evaluation.query_expansion import RADENOVIC
from fastreid_projects.evaluation.ranking import RankingMeter, RankingResult, evaluate_rank, own_cameras
from fastreid_projects.evaluation.reranking import ZHONG
from fastreid_projects.evaluation.roc import tpr_at_fpr
from fastreid_projects.host.evaluation.query_expansion import aqe
from fastreid_projects.host.utils.compute_dist import build_dist
from fastreid_projects.host_import import rebind

logger = logging.getLogger("fastreid.projects.evaluation")


def patch_evaluation() -> None:
    """Give the host's ReidEvaluator implementations that work everywhere; add keys to TEST."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Cython")
        from fastreid.config import CfgNode
        from fastreid.config.defaults import _C
        from fastreid.evaluation import query_expansion, rank, reid_evaluation, roc  # noqa: F401
        from fastreid.utils import compute_dist

    if "FIDELITY" not in _C.TEST:
        # Error-I and Error-II (Yan et al. 2022, table I) of the test images, and also of the training images.
        _C.TEST.FIDELITY = CfgNode({"ENABLED": False, "TRAIN": False})
        # For data without camera ids: a gallery image of the query's person counts even if the query's camera took it.
        # Market-1501's protocol, and therefore every published number, leaves such images out.
        _C.TEST.SAME_CAMERA = False
        # Gallery images at exactly the same distance: "order" ranks them as the sort leaves them, which depends on the
        # order of the gallery (as in the host); "expected" averages over all orders.
        _C.TEST.TIES = "order"
        # Average precision: "precision" at each match (as in the host), or the area of "trapezoid"s between matches, as
        # in Market-1501's code and many others of its time: lower, by up to two points of mAP.
        _C.TEST.AP = "precision"
        # Re-ranking as published (Zhong et al. 2017), or "fastreid" as in the host, whose result depends on the scale
        # of the features (with METRIC euclidean, hardly any image changes its rank).
        _C.TEST.RERANK.FORMULA = ZHONG
        # Alpha query expansion as published (Radenovic et al. 2018), or "fastreid" as in the host.
        _C.TEST.AQE.FORMULA = RADENOVIC
    evaluator = reid_evaluation.ReidEvaluator
    evaluator.multi_query, evaluator.draws, evaluator.junk = False, (), 0  # see fit_evaluator
    evaluator._compile_dependencies = _compile_nothing
    evaluator.process = process
    evaluator.evaluate = evaluate
    rebind(rank.evaluate_rank, evaluate_rank)
    rebind(query_expansion.aqe, aqe)
    rebind(compute_dist.build_dist, build_dist)


def _compile_nothing(self: Any) -> None:
    pass


def process(self: Any, inputs: dict[str, Any], outputs: torch.Tensor) -> None:
    """Keep a batch: features (B, D) as float32, identities, cameras, and paths to name images in errors."""
    self._predictions.append(
        {
            "feats": outputs.detach().to("cpu", torch.float32),
            "pids": inputs["targets"].to("cpu"),
            "camids": inputs["camids"].to("cpu"),
            "paths": list(inputs.get("img_paths") or ()),
        }
    )


def evaluate(self: Any) -> dict[str, float]:
    """Return the host's metrics in per cent; {} in all processes but the main one.

    The numbers of images behind them are logged and kept as ``counts`` (see :func:`.counts.count`). An evaluator with
    ``draws``, a list of (indices of queries, of the gallery), returns the means over them.

    Raises:
        DataError: there are no images, features are not finite, or no query has a match.
        ConfigError: a value of TEST cannot be used.
    """
    predictions = gather_predictions(self._predictions)
    if predictions is None:
        return {}
    images, paths = _collect(predictions)
    split, cfg = self._num_query, self.cfg
    if not 0 < split < len(images.pids):
        raise DataError(
            f"A ranking needs query and gallery images, not {split} of {len(images.pids)} as queries: name another "
            "test set, or use an evaluator that does not rank."
        )
    fidelity = _fidelity(images, split, cfg) if cfg.TEST.FIDELITY.ENABLED else {}
    if self.multi_query:
        images, split = _merge_queries(images, split, cfg.TEST.METRIC)
        paths = []
    if cfg.TEST.SAME_CAMERA:
        images = images._replace(camids=own_cameras(len(images.pids), paths))
    splits = self.draws or [(slice(split), slice(split, None))]
    scores = [_score(images.part(query), images.part(gallery), cfg) for query, gallery in splits]
    means = {name: sum(score[name] for score, _ in scores) / len(scores) for name in scores[0][0]}
    self.counts = {**scores[0][1], "junk": self.junk, "draws": len(scores)}
    logger.info(in_words(self.counts))
    self._results = OrderedDict(means, **fidelity)
    return OrderedDict(self._results)


class _Images(NamedTuple):
    """Features (N, D), identities (N,) and cameras (N,) of images."""

    features: torch.Tensor
    pids: npt.NDArray[Any]
    camids: npt.NDArray[Any]

    def part(self, index: slice | list[int]) -> _Images:
        """Return some of the images."""
        return _Images(self.features[index], self.pids[index], self.camids[index])


def _collect(predictions: list[dict[str, Any]]) -> tuple[_Images, list[str]]:
    """Return all images and, if they are known, their paths."""
    if not predictions:
        raise DataError("There are no features to evaluate: the test set is empty.")
    features = _joined_features(predictions)
    pids, camids = (torch.cat([prediction[key] for prediction in predictions]) for key in ("pids", "camids"))
    paths = list(itertools.chain.from_iterable(prediction.get("paths", ()) for prediction in predictions))
    paths = paths if len(paths) == len(features) else []
    check_finite(features, paths or None)
    return _Images(features, pids.numpy(), camids.numpy()), paths


def _joined_features(predictions: list[dict[str, Any]]) -> torch.Tensor:
    """Return all features (N, D); those of the batches become views of them, so that none is in memory twice."""
    first = predictions[0]["feats"]
    features = first.new_empty(sum(len(prediction["feats"]) for prediction in predictions), *first.shape[1:])
    start = 0
    for prediction in predictions:
        part = features[start : start + len(prediction["feats"])]
        prediction["feats"] = part.copy_(prediction["feats"])
        start += len(part)
    return features


def _merge_queries(images: _Images, num_query: int, metric: str) -> tuple[_Images, int]:
    """Return the images with merged queries, and the new number of queries."""
    query, gallery = images.part(slice(num_query)), images.part(slice(num_query, None))
    merged = _Images(*merge_queries(*query, normalize=metric == "cosine"))
    both = _Images(
        torch.cat([merged.features, gallery.features]),
        np.concatenate([merged.pids, gallery.pids]),
        np.concatenate([merged.camids, gallery.camids]),
    )
    return both, len(merged.pids)


def _score(query: _Images, gallery: _Images, cfg: Any) -> tuple[OrderedDict[str, float], Counts]:
    """Return all metrics of one split, and the counts behind them."""
    chunks = make_chunks(query.features, gallery.features, cfg.TEST, distance_device(cfg))
    labels = (query.pids, gallery.pids, query.camids, gallery.camids)
    result = _rank(chunks, ranking_meter(cfg.TEST), *labels)
    results = _metrics(result)
    if cfg.TEST.ROC.ENABLED:
        for fpr, tpr in tpr_at_fpr(chunks, *labels).items():
            results[f"TPR@FPR={fpr:.0e}"] = tpr * 100
    return results, count(result, len(gallery.pids))


def _fidelity(images: _Images, num_query: int, cfg: Any) -> dict[str, float]:
    """Return Error-I and Error-II over all test images; the anchors are the images whose identity has a query.

    Distractors share a label without sharing an identity (0 in Market-1501), so they are only negatives.
    """
    pids = torch.from_numpy(images.pids)
    anchors = torch.isin(pids, pids[:num_query])
    found = fidelity_errors(
        images.features, pids, cfg.TEST.METRIC, anchors=anchors, device=distance_device(cfg)
    )
    return {"Error-I": found.error_1, "Error-II": found.error_2}


def _rank(
    chunks: Callable[[], Chunks],
    make_meter: Callable[..., RankingMeter],
    query_pids: npt.NDArray[Any],
    gallery_pids: npt.NDArray[Any],
    query_camids: npt.NDArray[Any],
    gallery_camids: npt.NDArray[Any],
) -> RankingResult:
    meter = make_meter(gallery_pids, gallery_camids)
    for part, distances in chunks():
        meter.update(distances, query_pids[part], query_camids[part])
    return meter.compute()


def _metrics(result: RankingResult) -> OrderedDict[str, float]:
    results = OrderedDict((f"Rank-{k}", result.rank(k) * 100) for k in (1, 5, 10))
    results["mAP"] = result.mAP * 100
    results["mINP"] = result.mINP * 100
    results["metric"] = (result.mAP + result.rank(1)) / 2 * 100
    return results
