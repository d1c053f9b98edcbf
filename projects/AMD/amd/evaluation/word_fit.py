"""Fit the model of a calibration that predicts differences, and test it on people who were not used for the fit.

| letter | meaning                               |
| ------ | ------------------------------------- |
| N      | labelled images                       |
| M      | attributes                            |
| P      | pairs                                 |
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ..explain.word_model import Floats, WordModel, log_norms, logit, pair_features, sigmoid
from .pair_sample import Ints, different_pairs, same_pairs
from .scored_features import ScoredFeatures

# Even, so that each half of the held-out people can choose for the other half.
FOLDS = 6
# People that an attribute needs with each value to be predicted: with fewer, a model would memorise persons.
FEWEST = 5
# Area under the curve that an attribute needs on held-out people to be predicted; 0.5 is chance.
LEAST_AUC = 0.6
# Regularisation of the readouts' weights; on the demo, 0.02 to 0.5 give the same result within a point.
_C = 0.1
_MOST_IMAGES = 5000
# Number of pairs of different persons (plus half as many of one person) to judge in all folds together, and to fit on.
PAIRS = 20_000
_FIT_PAIRS = 4000
_KNOTS = 50


@dataclass(frozen=True)
class People:
    """Labelled images with the interpreter's features.

    Attributes:
        people: (N,) the person in each image.
        labels: (N, M) of 0, 1, or -1 (unknown).
        features: the features of the whole test set.
        rows: (N,) the rows of the images in the test set.
    """

    people: Ints
    labels: Ints
    features: ScoredFeatures
    rows: Ints

    def enough(self) -> NDArray[np.bool_]:
        """Return whether enough people have each value of an attribute, (M,)."""
        people = np.unique(self.people, return_inverse=True)[1]
        enough = []
        for column in self.labels.T:
            counts = [len(np.unique(people[column == value])) for value in (0, 1)]
            enough.append(min(counts) >= FEWEST)
        return np.asarray(enough)


@dataclass(frozen=True)
class Judged:
    """Pairs of people who were not used for the fit, with their predictions.

    Attributes:
        differ: (P, M), 1 if the two differ, 0 if they are alike, -1 if a label is unknown.
        probability: (P, M), the predicted probability that they differ.
        parts: d^k, (P, M).
        distances: d, (P,).
        same: (P,), whether the two images show one person.
        fold: (P,), the fold of the two persons.
        told: (P, M), whether the other half of the people choose to predict the attribute.
    """

    differ: Ints
    probability: Floats
    parts: Floats
    distances: Floats
    same: NDArray[np.bool_]
    fold: Ints
    told: NDArray[np.bool_]

    def half(self, number: int) -> Judged:
        """Return the pairs of half of the people: 0 or 1."""
        rows = self.fold % 2 == number
        return Judged(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class _Pairs:
    """Pairs to fit on or to judge: their indices (P, 2), d (P,), d^k (P, M), and whether they differ (P, M)."""

    pairs: Ints
    distances: Floats
    parts: Floats
    differ: Ints
    same: NDArray[np.bool_]

    @classmethod
    def draw(cls, data: People, rows: Ints, number: int, rng: np.random.Generator) -> _Pairs:
        """Draw pairs among some images: ``number`` of different persons, and at most half as many of one person."""
        drawn = (
            different_pairs(data.people[rows], number, rng),
            same_pairs(data.people[rows], number // 2, rng),
        )
        pairs = rows[np.concatenate(drawn)]
        a, b = (data.labels[pairs[:, side]] for side in (0, 1))
        differ = np.where((a < 0) | (b < 0), -1, (a != b).astype(np.int64))
        same = data.people[pairs[:, 0]] == data.people[pairs[:, 1]]
        return cls(pairs, *data.features.distances(data.rows[pairs]), differ, same)


def fit_words(data: People, seed: int = 0) -> tuple[WordModel, Judged] | None:
    """Fit a model on all people, and judge each fold of people by a model fitted on the others.

    Args:
        data: the labelled people.
        seed: seed of the folds and pairs.

    Returns:
        The model and the judged pairs; None if no attribute has enough people with each value.
    """
    enough = data.enough()
    if not enough.any():
        return None
    rng = np.random.default_rng(seed)
    folds = _folds(data.people, rng)
    norms = log_norms(data.features.norms(data.rows))
    centre, spread = norms.mean(axis=0), np.maximum(norms.std(axis=0), 1e-6)
    readouts = _Readouts((norms - centre) / spread, data.labels, folds, rng)
    parts = [_judge(data, folds, fold, readouts.unseen({fold}), rng) for fold in range(FOLDS)]
    judged = Judged(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Judged)))
    told = _told(judged, enough)
    judged = replace(judged, told=_told_by_others(judged, enough))
    pairs = _Pairs.draw(data, np.arange(len(folds)), _FIT_PAIRS, rng)
    typical, rarity = _typical(pairs), _rarity(data.labels)
    model = WordModel(
        *(centre, spread, *readouts.without(frozenset()), typical, rarity),
        *_fit_pairs(pairs, readouts.unseen(set()), typical, rarity),
        *_correction(
            replace(judged, told=np.broadcast_to(told, judged.told.shape)), np.ones(len(judged.same), bool)
        ),
        *(_has_both(data.labels).astype(np.float64), told.astype(np.float64)),
    )
    return model, _corrected(judged)


def _has_both(labels: Ints) -> NDArray[np.bool_]:
    """Return whether both values of an attribute occur among the images, (M,)."""
    return np.asarray((labels == 0).any(axis=0) & (labels == 1).any(axis=0))


class _Readouts:
    """Readouts fitted without certain folds; each is fitted once.

    Args:
        scaled: standardised log-norms, (N, M).
        labels: (N, M).
        folds: (N,).
        rng: draws a sample if there are many images.
    """

    def __init__(self, scaled: Floats, labels: Ints, folds: Ints, rng: np.random.Generator) -> None:
        self.scaled, self.labels, self.folds, self.rng = scaled, labels, folds, rng
        self._fitted: dict[frozenset[int], tuple[Floats, Floats]] = {}

    def without(self, left_out: frozenset[int]) -> tuple[Floats, Floats]:
        """Return the weights (M, M) and bias (M,) fitted on all people except those of some folds."""
        if left_out not in self._fitted:
            rows = np.flatnonzero(~np.isin(self.folds, list(left_out)))
            self._fitted[left_out] = _fit_readouts(self.scaled[rows], self.labels[rows], self.rng)
        return self._fitted[left_out]

    def unseen(self, outer: set[int]) -> Floats:
        """Return the readouts (N, M) of all images, each fitted without the image's own fold and without ``outer``."""
        scores = np.empty(self.scaled.shape)
        for fold in range(FOLDS):
            weights, bias = self.without(frozenset({fold} | outer))
            here = self.folds == fold
            scores[here] = self.scaled[here] @ weights.T + bias
        return scores


def _folds(people: Ints, rng: np.random.Generator) -> Ints:
    """Return the fold of each image, (N,); all images of a person are in the same fold."""
    names, places = np.unique(people, return_inverse=True)
    return np.asarray(rng.permutation(len(names))[places] % FOLDS)


def _judge(data: People, folds: Ints, fold: int, scores: Floats, rng: np.random.Generator) -> Judged:
    """Fit on the pairs of the other folds, and predict those of this one."""
    train = _Pairs.draw(data, np.flatnonzero(folds != fold), _FIT_PAIRS, rng)
    test = _Pairs.draw(data, np.flatnonzero(folds == fold), PAIRS // FOLDS, rng)
    typical, rarity = _typical(train), _rarity(data.labels[folds != fold])
    coefficients, intercept = _fit_pairs(train, scores, typical, rarity)
    told = sigmoid(_features(test, scores, typical, rarity) @ coefficients + intercept)
    place = np.full(len(told), fold)
    nothing = np.zeros(told.shape, bool)
    return Judged(test.differ, told, test.parts, test.distances, test.same, place, nothing)


def _corrected(judged: Judged) -> Judged:
    """Return the predictions with the probabilities of each fold calibrated on the other folds."""
    probability = judged.probability.copy()
    for fold in np.unique(judged.fold):
        here = judged.fold == fold
        probability[here] = np.interp(probability[here], *_correction(judged, ~here))
    return replace(judged, probability=probability)


def _correction(judged: Judged, rows: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return a rising curve from predicted to observed frequency on held-out people, (knots,) each, for all attributes.

    Each knot pools the same number of pairs with similar predictions. Without predicted attributes, the curve is the
    identity.
    """
    known = (judged.differ >= 0) & judged.told & rows[:, None]
    said, so = judged.probability[known], judged.differ[known]
    if len(so) < _KNOTS:
        return np.array([0.0, 1.0]), np.array([0.0, 1.0])
    parts = np.array_split(np.argsort(said, kind="stable"), _KNOTS)
    x = np.array([said[part].mean() for part in parts])
    y = np.array([(so[part].sum() + 1) / (len(part) + 2) for part in parts])
    return x, np.asarray(IsotonicRegression().fit_transform(x, y))


def _told(judged: Judged, enough: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the attributes (M,) with enough people for each value that can be predicted on held-out people."""
    told = enough.copy()
    for k in np.flatnonzero(enough):
        known = (judged.differ[:, k] >= 0) & ~judged.same
        y, p = judged.differ[known, k], judged.probability[known, k]
        told[k] = bool(0 < y.sum() < len(y)) and roc_auc_score(y, p) >= LEAST_AUC
    return told


def _told_by_others(judged: Judged, enough: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the attributes that each pair's other half of the people choose to predict, (P, M)."""
    chosen = np.stack([_told(judged.half(1 - number), enough) for number in (0, 1)])
    return np.asarray(chosen[judged.fold % 2])


def _typical(pairs: _Pairs) -> Floats:
    return np.asarray(pairs.parts[~pairs.same].mean(axis=0))


def _rarity(labels: Ints) -> Floats:
    """Return the log-odds that two images differ in each attribute, (M,)."""
    known = np.maximum((labels >= 0).sum(axis=0), 1)
    share = (labels == 1).sum(axis=0) / known
    return logit(2 * share * (1 - share) + 0.01)


def _features(pairs: _Pairs, scores: Floats, typical: Floats, rarity: Floats) -> Floats:
    first, second = (scores[pairs.pairs[:, side]] for side in (0, 1))
    return pair_features(first, second, pairs.parts, pairs.distances, typical, rarity)


def _fit_readouts(scaled: Floats, labels: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the weights (M, M) and bias (M,) that predict from log-norms (N, M) what the images show."""
    m = labels.shape[1]
    weights, bias = np.zeros((m, m)), np.zeros(m)
    rows = rng.permutation(len(labels))[:_MOST_IMAGES]
    for k in range(m):
        known = rows[labels[rows, k] >= 0]
        y = labels[known, k]
        if not len(y) or y.min() == y.max():
            bias[k] = logit(np.array((y.sum() + 1) / (len(y) + 2)))
            continue
        weights[k], bias[k] = _logistic(scaled[known], y, _C)
    return weights, bias


def _fit_pairs(pairs: _Pairs, scores: Floats, typical: Floats, rarity: Floats) -> tuple[Floats, Floats]:
    """Return the coefficients (5,) and intercept (1,), which all attributes share."""
    features = _features(pairs, scores, typical, rarity)
    known = pairs.differ >= 0
    x, y = features[known], pairs.differ[known]
    centre, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    if y.min() == y.max():
        return np.zeros(len(centre)), logit(np.array([(y.sum() + 1) / (len(y) + 2)]))
    coefficients, intercept = _logistic((x - centre) / spread, y, 1.0)
    coefficients = coefficients / spread
    return coefficients, np.array([intercept - float(centre @ coefficients)])


def _logistic(x: Floats, y: Ints, c: float) -> tuple[Floats, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=c, solver="newton-cholesky", max_iter=50).fit(x, y)
    return np.asarray(fitted.coef_[0], np.float64), float(fitted.intercept_[0])
