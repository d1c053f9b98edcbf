"""Predict how probable it is that two persons differ in an attribute, from the interpreter's output for both images.

| letter | meaning                               |
| ------ | ------------------------------------- |
| N, P   | images, pairs of images               |
| M      | attributes                            |
| f^k    | attribute-guided features             |
| d, d^k | distance, its parts                   |

The norm of f^k grows with the attention that the interpreter pays to attribute k. First, a logistic readout of all M
log-norms predicts whether an image shows attribute k. Second, these predictions for two images, d^k and d predict
whether the two differ in it. Each attribute has its own readout, but all share the coefficients of the second step, so
that an attribute that few people have is not fitted alone. Finally, the probabilities are calibrated on people who were
not used for the fit.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SURE = 1e-4  # probabilities are kept this far from 0 and 1
_TINY = 1e-12
_DIGITS = 8


def sigmoid(x: Floats) -> Floats:
    """Compute 1 / (1 + e^-x) without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def logit(p: Floats) -> Floats:
    """Compute ln(p / (1 - p)) of probabilities, which are kept away from 0 and 1."""
    kept = np.clip(p, _SURE, 1 - _SURE)
    return np.asarray(np.log(kept / (1 - kept)))


def log_norms(norms: NDArray[Any]) -> Floats:
    """Return the logarithms of the norms of f^k, finite even for a norm of 0."""
    return np.asarray(np.log(np.maximum(norms.astype(np.float64), _TINY)))


def pair_features(
    first: Floats, second: Floats, parts: Floats, distances: Floats, typical: Floats, rarity: Floats
) -> Floats:
    """Return the inputs of the second step for each pair and attribute; the order of the two images does not matter.

    Args:
        first: readouts (log-odds) of the first images, (P, M).
        second: readouts of the second images, (P, M).
        parts: d^k, (P, M).
        distances: d, (P,).
        typical: mean d^k of pairs of different persons, (M,).
        rarity: log-odds that two images differ in an attribute, (M,).

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
        spread: standard deviations of the log-norms, (M,).
        weights: weights of the standardised log-norms in each readout, (M, M).
        bias: biases of the readouts, (M,).
        typical: see :func:`pair_features`, (M,).
        rarity: see :func:`pair_features`, (M,).
        coefficients: coefficients of the pair's features, (5,).
        intercept: intercept of the second step, (1,).
        said: predicted probabilities, ascending, (knots,).
        so: observed frequencies of held-out people at these probabilities, (knots,); interpolated between the knots.
        read: (M,), 1 if there were enough labels for a readout.
        told: (M,), 1 if the attribute is predicted: enough people have each value, and it works on held-out people.
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
        """Return the log-odds (N, M) that images show each attribute, from the norms of f^k (N, M)."""
        return np.asarray((log_norms(norms) - self.centre) / self.spread @ self.weights.T + self.bias)

    def probabilities(
        self, first: NDArray[Any], second: NDArray[Any], parts: NDArray[Any], distances: NDArray[Any]
    ) -> Floats:
        """Return the probabilities (P, M) that the images of each pair differ; the others' mean without a readout.

        Args:
            first: norms of f^k of the first images, (P, M).
            second: norms of f^k of the second images, (P, M).
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
        """Return the model in the form that :meth:`from_json` reads."""
        return {field.name: _rounded(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> WordModel:
        """Build a model from the output of :meth:`as_json`."""
        return cls(**{field.name: np.asarray(data[field.name], np.float64) for field in fields(cls)})


def _rounded(values: Floats) -> Any:
    return np.vectorize(lambda x: float(f"{x:.{_DIGITS}g}"))(values).tolist()
