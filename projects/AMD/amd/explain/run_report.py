"""The report of a run: explanations of a few pairs of the test set in one HTML file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from fastreid_projects.evaluation.chance import chance_scores
from fastreid_projects.files import write_aside
from fastreid_projects.visualization.spread import evenly_spread

from ..evaluation.evaluator import AttributeEvaluator
from ..evaluation.tables import RANKS
from .explainer import Explainer
from .measures import measure_tables
from .page import report_as_json, write_report
from .pairs import Pair

logger = logging.getLogger("fastreid.projects.amd")


class Choice(NamedTuple):
    """A pair of the test set to explain, with the reason for its choice and whether it is a wrong match."""

    query: int
    gallery: int
    caption: str
    wrong_match: bool = False


def choose_pairs(distances: np.ndarray, pids: np.ndarray, camids: np.ndarray, number: int) -> list[Choice]:
    """Choose pairs worth reading: the nearest wrong person, the farthest right one, and a typical different one.

    Args:
        distances: the target's distances, (Q, G).
        pids: (Q + G,) identities, queries first; those of 0 and below are not persons of interest.
        camids: (Q + G,) cameras.
        number: maximum number of pairs.

    Returns:
        Pairs as indices into the whole test set, spread over the queries.
    """
    queries = len(distances)
    picks = list(_candidates(distances, pids[:queries], camids[:queries], pids[queries:], camids[queries:]))
    return [pick._replace(gallery=queries + pick.gallery) for pick in evenly_spread(picks, number)]


def _candidates(
    distances: np.ndarray, q_pids: np.ndarray, q_cams: np.ndarray, g_pids: np.ndarray, g_cams: np.ndarray
) -> Iterator[Choice]:
    seen: set[int] = set()
    for q in range(len(distances)):
        if int(q_pids[q]) in seen:
            continue
        seen.add(int(q_pids[q]))
        wrong = np.flatnonzero((g_pids != q_pids[q]) & (g_pids > 0))
        right = np.flatnonzero((g_pids == q_pids[q]) & (g_cams != q_cams[q]))
        kind = len(seen) % 3
        if kind == 0 and len(right):
            yield Choice(q, int(right[distances[q, right].argmax()]), "The same person, farthest apart.")
        elif len(wrong):
            order = wrong[distances[q, wrong].argsort()]
            if kind == 1:
                nearest = int(order[0])
                mistaken = bool(len(right)) and bool(distances[q, nearest] < distances[q, right].min())
                yield Choice(
                    q, nearest, "The nearest other person: what still tells them apart?", wrong_match=mistaken
                )
            else:
                yield Choice(q, int(order[len(order) // 2]), "Another person, at a typical distance.")


@dataclass(frozen=True)
class RunReport:
    """Explain chosen pairs of an evaluated test set in ``report.html`` and ``report.json``.

    Args:
        explainer: explains the pairs.
        folder: folder of the files.
        title: the report's heading.
        number: number of pairs.
        top_k: number of attributes drawn for each pair.
    """

    explainer: Explainer
    folder: Path
    title: str
    number: int
    top_k: int

    def __call__(
        self, evaluator: AttributeEvaluator, embeddings: Tensor, results: dict[str, float]
    ) -> dict[str, float]:
        """Write the report; it adds nothing to the results."""
        q = evaluator.num_query
        compared = F.normalize(embeddings, dim=1) if self.explainer.cosine else embeddings
        a, b = compared[:q].double(), compared[q:].double()
        squared = (a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T).clamp_(min=0).numpy()
        choices = choose_pairs(squared, evaluator.pids.numpy(), evaluator.camids.numpy(), self.number)
        pairs = self.explainer.explain_pairs([_pair(evaluator, choice) for choice in choices])
        path = write_report(
            self.folder / "report.html",
            self.title,
            pairs,
            metrics=measure_tables(results, by_chance(evaluator, squared)),
            top_k=self.top_k,
        )
        write_aside(self.folder / "report.json", json.dumps(report_as_json(pairs), indent=1).encode())
        logger.info("Report of %d explained pairs written to %s", len(pairs), path)
        return {}


def by_chance(evaluator: AttributeEvaluator, squared: np.ndarray) -> dict[str, float]:
    """Return the scores by chance: those of a gallery in random order; for ADRE, of the mean distance for every pair.

    Args:
        evaluator: the evaluator with its images.
        squared: d^2, (Q, G).
    """
    q, pids, camids = evaluator.num_query, evaluator.pids, evaluator.camids
    found = chance_scores(pids[:q], camids[:q], pids[q:], camids[q:], RANKS)
    if found:
        found["metric"] = (found["mAP"] + found["Rank-1"]) / 2
    distances = np.sqrt(squared[squared > 0])
    if len(distances):
        found["ADRE"] = float(100 * np.mean(np.abs(distances.mean() / distances - 1)))
    return found


def _pair(evaluator: AttributeEvaluator, choice: Choice) -> Pair:
    pids = [int(evaluator.pids[choice.query]), int(evaluator.pids[choice.gallery])]
    query, gallery = (str(pid) if pid > 0 else "" for pid in pids)
    return Pair(
        evaluator.paths[choice.query],
        evaluator.paths[choice.gallery],
        evaluator.attributes[choice.query].tolist(),
        evaluator.attributes[choice.gallery].tolist(),
        pids[0] == pids[1],
        choice.caption,
        query,
        gallery,
        choice.wrong_match,
    )
