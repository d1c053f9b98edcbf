"""How probable it is that two persons differ in an attribute, from what the interpreter makes of both images.

| letter | meaning                               |
| ------ | ------------------------------------- |
| N, P   | images, pairs of images               |
| M      | attributes                            |
| f^k    | attribute-guided features             |
| d, d^k | distance, its parts                   |

The norm of f^k grows with the attention that the interpreter pays to attribute k. A logistic readout of all M log-norms
tells how probable it is that an image shows attribute k; of two images these probabilities, d^k and d tell how probable
it is that they differ in it. The readouts are an attribute's own, the coefficients of the second step are shared by
all, so that an attribute that few people have is not fitted alone. Last, what is said is corrected by what was so of
people whom none of this was fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SURE = 1e-4  # no probability is nearer to 0 or 1
_TINY = 1e-12
_DIGITS = 8


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + e^-x), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def logit(p: Floats) -> Floats:
    """ln(p / (1 - p)) of probabilities that are kept away from 0 and 1."""
    kept = np.clip(p, _SURE, 1 - _SURE)
    return np.asarray(np.log(kept / (1 - kept)))


def log_norms(norms: NDArray[Any]) -> Floats:
    """Logarithms of norms of f^k, finite also of 0."""
    return np.asarray(np.log(np.maximum(norms.astype(np.float64), _TINY)))


def pair_features(
    first: Floats, second: Floats, parts: Floats, distances: Floats, typical: Floats, rarity: Floats
) -> Floats:
    """What the second step takes, for each pair and attribute; the order of the two images does not matter.

    Args:
        first: readouts (log-odds) of the first images, (P, M).
        second: of the second ones.
        parts: d^k, (P, M).
        distances: d, (P,).
        typical: mean d^k of pairs of different persons, (M,).
        rarity: log-odds that two images differ in it, (M,).

    Returns:
        (P, M, 5).
    """
    a, b = sigmoid(first), sigmoid(second)
    shares = parts / np.maximum(parts.sum(axis=1, keepdims=True), _TINY)
    spread = np.broadcast_to
    return np.stack(
        [
            logit(a * (1 - b) + b * (1 - a)),
            parts / np.maximum(typical, _TINY),
            shares,
            spread(distances[:, None], parts.shape),
            spread(rarity, parts.shape),
        ],
        axis=2,
    )


@dataclass(frozen=True, eq=False)
class WordModel:
    """The fitted model.

    Attributes:
        centre: mean log-norms of f^k, (M,).
        spread: their standard deviations, (M,).
        weights: of the standardised log-norms in each readout, (M, M).
        bias: of the readouts, (M,).
        typical: see :func:`pair_features`, (M,).
        rarity: likewise, (M,).
        coefficients: of the pair's features, (5,).
        intercept: (1,).
        said: probabilities, ascending, (knots,).
        so: what was so of people held out of whom that was said, (knots,); between the knots it is interpolated.
        read: (M,), 1 where the labels were enough for a readout.
        told: (M,), 1 where words are said: enough people have either value, and it can be told of people held out.
    """

    centre: Floats
    spread: Floats
    weights: Floats
    bias: Floats
    typical: Floats
    rarity: Floats
    coefficients: Floats
    intercept: Floats
    said: Floats
    so: Floats
    read: Floats
    told: Floats

    def readouts(self, norms: NDArray[Any]) -> Floats:
        """Log-odds that images show each attribute, (N, M), of norms of f^k (N, M)."""
        return np.asarray((log_norms(norms) - self.centre) / self.spread @ self.weights.T + self.bias)

    def probabilities(
        self, first: NDArray[Any], second: NDArray[Any], parts: NDArray[Any], distances: NDArray[Any]
    ) -> Floats:
        """Probabilities (P, M) that the two images of each pair differ; the mean of the others without a readout.

        Args:
            first: norms of f^k of the first images, (P, M).
            second: of the second ones.
            parts: d^k, (P, M).
            distances: d, (P,).
        """
        read = (self.readouts(first), self.readouts(second))
        found = pair_features(*read, parts.astype(np.float64), distances, self.typical, self.rarity)
        raw = sigmoid(found @ self.coefficients + self.intercept)
        p = np.interp(raw, self.said, self.so)
        known = self.read > 0
        return np.where(known, p, p[:, known].mean(axis=1, keepdims=True))

    def as_json(self) -> dict[str, Any]:
        """Return it as :meth:`from_json` takes it."""
        return {field.name: _rounded(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> WordModel:
        """Read what :meth:`as_json` has written."""
        return cls(**{field.name: np.asarray(data[field.name], np.float64) for field in fields(cls)})


def _rounded(values: Floats) -> Any:
    return np.vectorize(lambda x: float(f"{x:.{_DIGITS}g}"))(values).tolist()
