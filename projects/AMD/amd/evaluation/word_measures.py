"""Measures of the predictions for people without labels: AUC, Brier score, reliability, and what they put first.

| letter | meaning       |
| ------ | ------------- |
| M      | attributes    |
| P      | pairs         |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from tabulate import tabulate

from ..explain.word_model import Floats
from ..explain.words import WORDS
from .word_fit import Judged

BINS = 10
_NEAREST = 0.1  # of the pairs of different persons


class WordScore(NamedTuple):
    """The scores of the probabilities of one attribute.

    Attributes:
        name: name of the attribute.
        words: whether it is predicted: ``"yes"``, ``"too few people"`` or ``"cannot be told"``.
        differ: share 0..1 of the pairs of different persons that differ in it.
        auc: area under the curve of the probability on pairs of different persons, 0..1; 0.5 is chance.
        part_auc: area under the curve of the contribution d^k alone.
        brier: mean squared error of the probability on all pairs; 0 is perfect.
        base_brier: mean squared error of the base rate: the share of pairs that differ, predicted for every pair.
        curve: (pairs, mean probability, share that differs) for each tenth of the probability.
        told_curve: the same of the pairs whose other half of the people choose to predict the attribute.
    """

    name: str
    words: str
    differ: float
    auc: float
    part_auc: float
    brier: float
    base_brier: float
    curve: Sequence[tuple[int, float, float]]
    told_curve: Sequence[tuple[int, float, float]]

    @property
    def error(self) -> float:
        """The mean distance 0..1 of the reliability curve from the diagonal, weighted by pairs."""
        return _off(self.curve)


def score_words(
    judged: Judged, names: Sequence[str], told: NDArray[np.bool_], enough: NDArray[np.bool_]
) -> list[WordScore]:
    """Score each attribute in which some pairs of different persons differ and others do not.

    Args:
        judged: pairs of held-out people.
        names: names of the M attributes.
        told: which attributes are predicted, (M,).
        enough: which attributes have enough people with each value, (M,).
    """
    scores = []
    for k, name in enumerate(names):
        known = judged.differ[:, k] >= 0
        y, p = judged.differ[known, k], judged.probability[known, k]
        others, spoken = ~judged.same[known], judged.told[known, k]
        if not 0 < y[others].sum() < others.sum():
            continue
        scores.append(
            WordScore(
                name,
                "yes" if told[k] else "cannot be told" if enough[k] else "too few people",
                float(y[others].mean()),
                float(roc_auc_score(y[others], p[others])),
                float(roc_auc_score(y[others], judged.parts[known, k][others])),
                float(np.mean((p - y) ** 2)),
                float(y.mean() * (1 - y.mean())),
                reliability(y, p),
                reliability(y[spoken], p[spoken]),
            )
        )
    return scores


def reliability(differ: NDArray[Any], probability: Floats) -> list[tuple[int, float, float]]:
    """Return the reliability curve: (pairs, mean probability, share that differs) for each tenth of the probability."""
    tenth = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    found = []
    for b in range(BINS):
        inside = tenth == b
        said, so = (float(v[inside].mean()) if inside.any() else 0.0 for v in (probability, differ))
        found.append((int(inside.sum()), said, so))
    return found


def pooled_curve(scores: Sequence[WordScore]) -> list[tuple[int, float, float]]:
    """Return the curves of several attributes in one, each of the pairs for which it is predicted."""
    found = []
    for b in range(BINS):
        tenths = [score.told_curve[b] for score in scores]
        pairs = sum(n for n, _, _ in tenths)
        said, so = (sum(tenth[0] * tenth[i] for tenth in tenths) / max(pairs, 1) for i in (1, 2))
        found.append((pairs, said, so))
    return found


def _off(curve: Sequence[tuple[int, float, float]]) -> float:
    pairs = sum(n for n, _, _ in curve)
    return sum(n * abs(said - so) for n, said, so in curve) / max(pairs, 1)


def first_is_right(judged: Judged) -> dict[str, float]:
    """Return how often a differing attribute comes first, in per cent of pairs of different persons that differ at all.

    The orders are by contribution alone, by contribution times probability, and random; ``_near`` is for the nearest
    tenth of the pairs.
    """
    usable = ~judged.same & (judged.differ >= 0).any(axis=1) & (judged.differ == 1).any(axis=1)
    if not usable.any():
        return {}
    differ, parts = judged.differ[usable], judged.parts[usable]
    known = differ >= 0
    distances = judged.distances[usable]
    near = distances <= np.quantile(distances, _NEAREST)
    orders = {"first_by_share": parts, "first_by_words": parts * judged.probability[usable]}
    results: dict[str, float] = {}
    for name, values in orders.items():
        first = np.where(known, values, -1.0).argmax(axis=1)
        right = differ[np.arange(len(differ)), first] == 1
        results |= {name: 100 * float(right.mean()), f"{name}_near": 100 * float(right[near].mean())}
    chance = (differ == 1).sum(axis=1) / known.sum(axis=1)
    return results | {
        "random_first": 100 * float(chance.mean()),
        "random_first_near": 100 * float(chance[near].mean()),
    }


def words_order_better(judged: Judged) -> bool:
    """Return whether contribution times probability puts a differing attribute first more often than contribution.

    Of all pairs of different persons and of the nearest tenth.

    Args:
        judged: pairs of people held out.
    """
    found = first_is_right(judged)
    return bool(found) and all(
        found[f"first_by_words{near}"] > found[f"first_by_share{near}"] for near in ("", "_near")
    )


def said_to_differ(judged: Judged) -> dict[str, float]:
    """Return how reliable the statement is that two persons differ, in per cent.

    ``words_right`` is the share of these statements that are true, ``words_of_one_person`` the share of pairs of one
    person that are said to differ in anything.

    ``random_``: the same of as many words of each attribute on pairs chosen at random.

    Args:
        judged: pairs of held-out people; each half chooses which attributes are predicted for the other.
    """
    said = (judged.probability >= WORDS[-1][0] / 100) & judged.told
    known = judged.differ >= 0
    spoken = (said & known).sum(axis=0)
    results = {}
    if spoken.any():
        differ = ((judged.differ == 1) & known).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        results["words_right"] = 100 * float(judged.differ[said & known].mean())
        results["random_words_right"] = 100 * float(spoken @ differ / spoken.sum())
    if judged.same.any() and judged.told.any():
        results["words_of_one_person"] = 100 * float(said[judged.same].any(axis=1).mean())
        results["random_words_of_one_person"] = 100 * float(1 - np.prod(1 - said.mean(axis=0)))
    return results


def word_results(scores: Sequence[WordScore]) -> dict[str, float]:
    """Return the means over the attributes with enough people for each value, in per cent; {} if there are none.

    ``words_told`` is the share of these attributes that are predicted, ``words_error`` the mean error of the predicted
    probabilities, if there are any.
    """
    enough = [score for score in scores if score.words != "too few people"]
    told = [score for score in enough if score.words == "yes"]
    if not enough:
        return {}

    def mean(name: str) -> float:
        return 100 * float(np.mean([getattr(score, name) for score in enough]))

    pooled = pooled_curve(enough)
    error = {"words_error": 100 * _off(pooled)} if any(pairs for pairs, _, _ in pooled) else {}
    return {
        "words_AUC": mean("auc"),
        "share_AUC": mean("part_auc"),
        "words_Brier": mean("brier"),
        "base_Brier": mean("base_brier"),
        "words_told": 100 * len(told) / len(enough),
        **error,
    }


def words_table(scores: Sequence[WordScore], topics: Sequence[str]) -> str:
    """Return a table with a row for each attribute, the best predicted first.

    Args:
        scores: the scores of the attributes.
        topics: the words for each attribute, in the same order.
    """
    rows = [
        (
            *(topic, s.words, 100 * s.differ, s.auc, s.part_auc),
            *(s.brier, s.base_brier, 100 * s.error),
        )
        for s, topic in sorted(zip(scores, topics, strict=True), key=lambda pair: -pair[0].auc)
    ]
    headers = ["attribute", "words", "differ, %", "AUC", "AUC of d^k", "Brier", "by base rate", "off, points"]
    floats = ("", "", ".1f", ".3f", ".3f", ".3f", ".3f", ".1f")
    return tabulate(rows, headers=headers, floatfmt=floats, tablefmt="pipe")


def curve_table(scores: Sequence[WordScore]) -> str:
    """Return a table of the reliability curve of all predicted attributes together; a sentence if there are none."""
    curve = pooled_curve(scores)
    if not any(pairs for pairs, _, _ in curve):
        return "no attribute can be told of people held out"
    rows = [
        (f"{100 * b // BINS} to {100 * (b + 1) // BINS} %", pairs, 100 * said, 100 * so)
        for b, (pairs, said, so) in enumerate(curve)
        if pairs
    ]
    headers = ["predicted to differ", "pairs", "mean, %", "differ truly, %"]
    return tabulate(rows, headers=headers, floatfmt=".1f", tablefmt="pipe")
