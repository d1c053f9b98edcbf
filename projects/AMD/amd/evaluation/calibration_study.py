"""The calibration of an interpreter, made by its evaluation and saved beside its weights.

| letter | meaning                                             |
| ------ | --------------------------------------------------- |
| M      | attributes                                          |
| P      | pairs                                               |
| d, d^k | distance of a pair, contribution of an attribute    |
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fastreid_projects.files import write_aside

from ..explain.calibration import Calibration, PartScale
from ..explain.calibration_file import save_calibration
from ..explain.distance_scale import DistanceScale
from ..explain.distribution import Distribution
from ..explain.explainer import Explainer
from ..explain.word_model import WordModel
from .evaluator import AttributeEvaluator
from .pair_sample import Ints, different_pairs, same_pairs
from .scored_features import ScoredFeatures
from .word_fit import Judged, People, fit_words
from .word_measures import (
    WordScore,
    curve_table,
    first_is_right,
    said_to_differ,
    score_words,
    word_results,
    words_order_better,
    words_table,
)

logger = logging.getLogger("fastreid.projects.amd")

# Number of pairs of different persons for the distributions of the distance, and for those of each contribution.
_PAIRS = 100_000
_PART_PAIRS = 20_000


@dataclass(frozen=True)
class CalibrationStudy:
    """Measure distances and contributions of labelled people, fit the predictions, and test them on held-out people.

    Args:
        explainer: gets the calibration, for a report that follows.
        dataset: name of the test set.
        digest: returns the model's :func:`~fastreid_projects.amd.explain.calibration_file.interpreter_digest`.
        path: path of the calibration.
        curves: the CSV file for the reliability curves; None writes none.
        seed: seed of the pairs and folds.
    """

    explainer: Explainer
    dataset: str
    digest: Callable[[], str]
    path: Path
    curves: Path | None = None
    seed: int = 0

    def __call__(
        self, evaluator: AttributeEvaluator, embeddings: Tensor, results: dict[str, float]
    ) -> dict[str, float]:
        """Save the calibration; return the scores of the predictions, in per cent."""
        features = ScoredFeatures(
            evaluator.features, embeddings, evaluator.centre, cosine=self.explainer.cosine
        )
        people = evaluator.pids.numpy().astype(np.int64)
        persons = persons_of(people, evaluator.num_query)
        cameras = None if evaluator.same_camera else evaluator.camids.numpy().astype(np.int64)
        rng = np.random.default_rng(self.seed)
        scale = distance_scale(self.dataset, features, people, cameras, persons, rng)
        labels = evaluator.attributes.numpy().astype(np.int64)
        labelled = persons[(labels[persons] >= 0).any(axis=1)]
        names = self.explainer.attribute_set.names
        parts = part_scales(features, people, labels, labelled, rng)
        data = People(people[labelled], labels[labelled], features, labelled)
        fitted = fit_words(data, self.seed)
        scores, measured = self._measure(data, *fitted) if fitted else ([], {})
        by_words = fitted is not None and words_order_better(fitted[1])
        model = fitted[0] if fitted else None
        kept = {"scores": [score._asdict() for score in scores], "results": measured}
        calibration = Calibration(scale, names, tuple(parts), model, by_words, kept)
        save_calibration(self.path, self.digest(), calibration)
        self.explainer.calibration = calibration
        return measured

    def _measure(
        self, data: People, model: WordModel, judged: Judged
    ) -> tuple[list[WordScore], dict[str, float]]:
        """Score the predictions on held-out people, and log the tables."""
        attributes = self.explainer.attribute_set
        scores = score_words(judged, attributes.names, model.told > 0, data.enough())
        topics = [attributes.attributes[attributes.index(score.name)].topic for score in scores]
        logger.info(
            "Predicted differences by attribute, on people who were not used for the fit:\n%s",
            words_table(scores, topics),
        )
        logger.info("Their reliability, over all predicted attributes:\n%s", curve_table(scores))
        if self.curves is not None:
            write_aside(self.curves, curves_csv(scores).encode())
        return scores, word_results(scores) | said_to_differ(judged) | first_is_right(judged)


def persons_of(people: Ints, queries: int) -> Ints:
    """Return the rows of images that show persons: queries, or identities above 0; all others are distractors."""
    return np.flatnonzero((people > 0) | np.isin(people, people[:queries]))


def distance_scale(
    dataset: str,
    features: ScoredFeatures,
    people: Ints,
    cameras: Ints | None,
    persons: Ints,
    rng: np.random.Generator,
) -> DistanceScale:
    """Return the distributions of d for pairs of one person and of different persons, by one camera and by two.

    Args:
        dataset: name of the test set.
        features: features of all its images.
        people: the person in each image.
        cameras: the camera of each image; None if not known.
        persons: rows of the images that show persons.
        rng: draws the pairs.
    """
    same = persons[same_pairs(people[persons], _PAIRS, rng)]
    different = persons[different_pairs(people[persons], _PAIRS, rng)]
    found = []
    for pairs in (same, different):
        whole = features.whole_distances(pairs)
        one = np.zeros(len(pairs), bool) if cameras is None else cameras[pairs[:, 0]] == cameras[pairs[:, 1]]
        found.append((whole, one))
    (near, near_one), (far, far_one) = found
    return DistanceScale(
        dataset,
        same=Distribution.of(near[~near_one]),
        same_camera=Distribution.of(near[near_one]),
        different=Distribution.of(far),
        different_camera=None if cameras is None else Distribution.of(far[~far_one]),
        different_same_camera=None if cameras is None else Distribution.of(far[far_one]),
        cameras=cameras is not None,
    )


def part_scales(
    features: ScoredFeatures, people: Ints, labels: Ints, labelled: Ints, rng: np.random.Generator
) -> list[PartScale]:
    """Return the distributions of each d^k for pairs of different persons that are alike in k, or differ in it."""
    pairs = labelled[different_pairs(people[labelled], _PART_PAIRS, rng)]
    _, parts = features.distances(pairs)
    return [
        _part_scale(parts[:, k], labels[pairs[:, 0], k], labels[pairs[:, 1], k])
        for k in range(labels.shape[1])
    ]


def _part_scale(values: NDArray[np.float64], first: Ints, second: Ints) -> PartScale:
    known = (first >= 0) & (second >= 0)
    return PartScale(*(Distribution.of(values[known & mask]) for mask in (first == second, first != second)))


def curves_csv(scores: Sequence[WordScore]) -> str:
    """Return the reliability curve of each attribute as CSV: attribute, pairs, predicted, observed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("attribute", "words", "pairs", "told", "differ"))
    for score in scores:
        head = (score.name, score.words)
        writer.writerows((*head, n, f"{said:.4f}", f"{so:.4f}") for n, said, so in score.curve if n)
    return text.getvalue()
