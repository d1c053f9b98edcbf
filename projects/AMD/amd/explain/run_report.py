"""The report of a run: a few pairs of the test set, explained, in one HTML file."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from fastreid_projects.files import write_aside
from fastreid_projects.visualization.spread import evenly_spread

from ..evaluation.evaluator import AttributeEvaluator
from ..evaluation.tables import KIND_WORDS, MEASURES
from .explainer import Explainer
from .page import report_as_json, write_report
from .pairs import Pair

logger = logging.getLogger("fastreid.projects.amd")

_METRICS = {
    "target_Rank-1": "first match is the right person, by the target model",
    "Rank-1": "the same with the distance put together from the attributes",
    "target_mAP": "mean average precision of the target model",
    "mAP": "the same with the distance put together from the attributes",
    "reweighted_free_mAP": "the same with the attribute that contributes most counted twice; needs no labels",
    "reweighted_label_mAP": "an oracle, which is told the attributes that differ: an interpreter at chance gains, too",
    "placeless_mAP": "the same with each attention map replaced by its mean: without any place",
    "ADRE": "mean error of the put-together distance; 0 is perfect",
    "X-mAP_e": "how well the contributions rank the attributes that truly differ first",
    "random_X-mAP_e": "the same for a random order",
    "placeless_X-mAP_e": "the same with each attention map replaced by its mean",
    "X-mAP_c": "how well they rank the attributes that are alike last",
    "random_X-mAP_c": "the same for a random order",
    "placeless_X-mAP_c": "the same with each attention map replaced by its mean",
    "attention_in_mask": "attention that falls on the pixels of the attribute",
    "mask_area": "those pixels' share of the image",
    "pointing_game": "images whose greatest attention lies on the attribute; chance is their share of the image",
    "counterfactual_rise": "rise of a contribution, of the distance, when its attribute is changed",
    "counterfactual_rise_others": "the same of the attributes that were not changed",
    "counterfactual_first": "changes of which the changed attribute's contribution rises most",
    "random_counterfactual_first": "the same by chance",
}


def report_metrics(results: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Name, value and words of all that was measured, also where it is bad."""
    rows = [
        (name, f"{results[name]:.2f} %", words)
        for name, words in _METRICS.items()
        if not math.isnan(results.get(name, math.nan))
    ]
    for name, words in MEASURES.items():
        found = [
            (k, results[f"{kind}_{name}"]) for kind, k in KIND_WORDS.items() if f"{kind}_{name}" in results
        ]
        if found:
            rows.append((name, "; ".join(f"{kind} {value:.2f}" for kind, value in found), words))
    return rows


class Choice(NamedTuple):
    """A pair of the test set to explain, and why it was chosen."""

    query: int
    gallery: int
    caption: str


def choose_pairs(distances: np.ndarray, pids: np.ndarray, camids: np.ndarray, number: int) -> list[Choice]:
    """Pick pairs that a reader wants to see: nearest wrong person, farthest right one, a clearly different one.

    Args:
        distances: (Q, G) of the target.
        pids: (Q + G,) identities, queries first; 0 and below are not persons of interest.
        camids: (Q + G,) cameras.
        number: how many pairs at most.

    Returns:
        Pairs as indices into the whole test set, spread over the queries.
    """
    queries = len(distances)
    picks = list(_candidates(distances, pids[:queries], camids[:queries], pids[queries:], camids[queries:]))
    return [Choice(q, queries + g, caption) for q, g, caption in evenly_spread(picks, number)]


def _candidates(
    distances: np.ndarray, q_pids: np.ndarray, q_cams: np.ndarray, g_pids: np.ndarray, g_cams: np.ndarray
) -> Iterator[tuple[int, int, str]]:
    seen: set[int] = set()
    for q in range(len(distances)):
        if int(q_pids[q]) in seen:
            continue
        seen.add(int(q_pids[q]))
        wrong = np.flatnonzero((g_pids != q_pids[q]) & (g_pids > 0))
        right = np.flatnonzero((g_pids == q_pids[q]) & (g_cams != q_cams[q]))
        kind = len(seen) % 3
        if kind == 0 and len(right):
            yield q, int(right[distances[q, right].argmax()]), "The same person, farthest apart."
        elif len(wrong):
            order = wrong[distances[q, wrong].argsort()]
            if kind == 1:
                yield q, int(order[0]), "The nearest other person: what still tells them apart?"
            else:
                yield q, int(order[len(order) // 2]), "Another person, at a typical distance."


class RunReport:
    """Explains chosen pairs of an evaluated test set in ``report.html`` and ``report.json``.

    Args:
        explainer: explains the pairs.
        folder: where the files go.
        title: the report's heading.
        number: how many pairs.
        top_k: heat maps a pair.
    """

    def __init__(self, explainer: Explainer, folder: Path, *, title: str, number: int, top_k: int) -> None:
        self.explainer = explainer
        self.folder = folder
        self.title = title
        self.number = number
        self.top_k = top_k

    def __call__(
        self, evaluator: AttributeEvaluator, embeddings: Tensor, results: dict[str, float]
    ) -> dict[str, float]:
        """Write the report; it adds no result."""
        q = evaluator.num_query
        compared = F.normalize(embeddings, dim=1) if self.explainer.cosine else embeddings
        a, b = compared[:q].double(), compared[q:].double()
        squared = a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T
        choices = choose_pairs(squared.numpy(), evaluator.pids.numpy(), evaluator.camids.numpy(), self.number)
        pairs = self.explainer.explain_pairs([_pair(evaluator, choice) for choice in choices])
        path = write_report(
            self.folder / "report.html", self.title, pairs, metrics=report_metrics(results), top_k=self.top_k
        )
        write_aside(self.folder / "report.json", json.dumps(report_as_json(pairs), indent=1).encode())
        logger.info("Report of %d explained pairs written to %s", len(pairs), path)
        return {}


def _pair(evaluator: AttributeEvaluator, choice: Choice) -> Pair:
    query, gallery, caption = choice
    return Pair(
        evaluator.paths[query],
        evaluator.paths[gallery],
        evaluator.attributes[query].tolist(),
        evaluator.attributes[gallery].tolist(),
        bool(evaluator.pids[query] == evaluator.pids[gallery]),
        caption,
    )
