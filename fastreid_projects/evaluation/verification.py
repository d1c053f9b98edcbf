"""Verification: do two pictures show the same person?

| letter | meaning                                        |
| ------ | ---------------------------------------------- |
| N      | pictures                                       |
| D      | size of a feature                              |
| P      | pairs of one person                            |
| M      | pairs of different persons                     |
| K      | the nearest of these, whose distances are kept |

A pair is accepted if its distance is below a threshold. TAR, the true accept rate, is the share of accepted pairs among
the P; FAR, the false accept (or false match) rate, is the share among the M. Pairs of one person under the same camera
are left out if cameras are known, as in the ranking.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from fastreid_projects.errors import DataError
from fastreid_projects.evaluation.distance import iter_distances

Floats = npt.NDArray[np.float32]
_MOST = 2**26  # the number of distances of different persons that are kept, 256 MiB


class Labelled(NamedTuple):
    """Features of known persons.

    Attributes:
        features: (N, D) float32.
        people: (N,) numbers of the persons, from 0.
        cameras: (N,) numbers of the cameras; all equal if none are known.
    """

    features: Floats
    people: npt.NDArray[np.int64]
    cameras: npt.NDArray[np.int64]

    @property
    def different(self) -> int:
        """M, the number of pairs of different persons."""
        counts = np.bincount(self.people)
        return int((len(self.people) ** 2 - (counts**2).sum()) // 2)


class Distances(NamedTuple):
    """Euclidean distances of pairs.

    Attributes:
        same: (P,) distances of the same person, ascending.
        different: (K,) the smallest distances of different persons, ascending.
        total: M.
    """

    same: Floats
    different: Floats
    total: int

    def threshold(self, rate: float) -> float:
        """Return the greatest threshold whose FAR is at most ``rate``; infinite if all may be accepted."""
        count = int(rate * self.total * (1 + 1e-12))  # since 0.01 * 300 is below 3 in floating point
        return float(self.different[count]) if count < len(self.different) else float("inf")

    def tar(self, threshold: float) -> float:
        """Return the share of pairs of one person that are below a threshold."""
        return float(np.searchsorted(self.same, threshold, side="left") / len(self.same))

    def far(self, threshold: float) -> float:
        """Return the share of pairs of different persons that are below a threshold."""
        return float(np.searchsorted(self.different, threshold, side="left") / self.total)


class EqualError(NamedTuple):
    """The point at which as many pairs of one person are refused as pairs of different persons are accepted.

    Attributes:
        rate: the equal error rate (EER), 0..1.
        threshold: the threshold of the distance.
    """

    rate: float
    threshold: float


def pair_distances(labelled: Labelled) -> Distances:
    """Compute the distances of all pairs of pictures.

    Raises:
        DataError: there are no pairs of one person, or none of different persons.
    """
    same, different = [np.empty(0, np.float32)], [np.empty(0, np.float32)]
    for _, _, distances, alike, one_camera in _chunks(labelled):
        same.append(distances[alike & ~one_camera])
        different.append(distances[~alike])
        if sum(map(len, different)) > 2 * _MOST:
            different = [np.partition(np.concatenate(different), _MOST)[:_MOST]]
    if not labelled.different:
        raise DataError(
            "all pictures show one person: a threshold is fitted on pictures of different persons"
        )
    found = np.sort(np.concatenate(same))
    if not len(found):
        raise DataError(
            "no person is shown by two pictures (under two cameras, if cameras are known): add pictures of the same "
            "persons"
        )
    return Distances(found, np.sort(np.concatenate(different))[:_MOST], labelled.different)


def _chunks(labelled: Labelled) -> Iterator[tuple[Any, Any, Floats, npt.NDArray[Any], npt.NDArray[Any]]]:
    """Yield pairs (i, j) with i < j: their i, j, distances, and whether they show one person and are by one camera."""
    features = torch.from_numpy(np.ascontiguousarray(labelled.features))
    known = len(np.unique(labelled.cameras)) > 1
    columns = np.arange(len(features))
    for part, squared in iter_distances(features, features, chunk=64):
        rows = np.arange(part.start, part.stop)
        i, j = np.nonzero(rows[:, None] < columns)
        first = rows[i]
        alike = labelled.people[first] == labelled.people[j]
        one_camera = (labelled.cameras[first] == labelled.cameras[j]) & known
        yield first, j, np.sqrt(squared[i, j]), alike, one_camera


def tar_at_far(distances: Distances, rates: Sequence[float]) -> dict[float, float]:
    """Return the TAR, 0..1, for each FAR that there are enough pairs for."""
    return {rate: distances.tar(distances.threshold(rate)) for rate in rates if rate * distances.total >= 1}


def equal_error(distances: Distances) -> EqualError | None:
    """Return the equal error rate; None if it is beyond the kept distances.

    Example:
        >>> far = Distances(np.float32([1, 2, 3, 6]), np.float32([4, 5, 7, 8]), 4)
        >>> equal_error(far)
        EqualError(rate=0.25, threshold=5.0)
    """
    steps = np.append(np.unique(np.concatenate((distances.same, distances.different))), np.float32(np.inf))
    far = np.searchsorted(distances.different, steps, side="left") / distances.total
    frr = 1 - np.searchsorted(distances.same, steps, side="left") / len(distances.same)
    place = int(np.argmax(far >= frr))  # at the greatest distance at the latest
    beyond = len(distances.different) < distances.total and steps[place] > distances.different[-1]
    return None if beyond else EqualError(float((far[place] + frr[place]) / 2), float(steps[place]))


def det_curve(distances: Distances, points: int = 500) -> npt.NDArray[np.float64]:
    """Return the detection error tradeoff: (points, 3) of threshold, FAR and FRR = 1 - TAR, FAR ascending."""
    counts = np.unique(np.geomspace(1, len(distances.different), points).astype(np.int64)) - 1
    thresholds = distances.different[counts].astype(np.float64)
    far = np.searchsorted(distances.different, thresholds, side="left") / distances.total
    frr = 1 - np.searchsorted(distances.same, thresholds, side="left") / len(distances.same)
    return np.stack((thresholds, far, frr), axis=1)


class Intervals(NamedTuple):
    """95 % intervals (low, high) over bootstrap draws of persons: the same number of persons, with replacement.

    Attributes:
        threshold: the threshold of the distance.
        tar: the TAR, 0..1, each draw at its own threshold.
    """

    threshold: tuple[float, float]
    tar: tuple[float, float]


def bootstrap(
    labelled: Labelled, distances: Distances, rate: float, draws: int = 1000, seed: int = 0
) -> Intervals:
    """Draw persons instead of pairs, because the pairs of one person depend on each other.

    A pair of two persons counts as often as both are drawn together; pairs among copies of a person do not count.

    Args:
        labelled: the pictures.
        distances: the distances of their pairs.
        rate: the FAR.
        draws: the number of draws.
        seed: the seed of the draws.
    """
    near = _near_pairs(labelled, distances, rate)
    owners, own = _same_pairs(labelled)
    pictures = np.bincount(labelled.people)
    people, rng = len(pictures), np.random.default_rng(seed)
    thresholds, tars = [], []
    for _ in range(draws):
        weights = np.bincount(rng.integers(0, people, people), minlength=people)
        drawn = weights * pictures
        total = (int(drawn.sum()) ** 2 - int((drawn * pictures * weights).sum())) / 2
        accepted = np.cumsum(weights[near.first] * weights[near.second])
        place = int(np.searchsorted(accepted, rate * total, side="right"))
        threshold = near.distances[min(place, len(near.distances) - 1)]
        counted = weights[owners]
        thresholds.append(float(threshold))
        tars.append(float(counted[own < threshold].sum() / max(counted.sum(), 1)))
    low, high = (tuple(np.percentile(values, (2.5, 97.5)).tolist()) for values in (thresholds, tars))
    return Intervals(low, high)


class _Near(NamedTuple):
    """The nearest pairs of different persons, ascending: their distances and the two persons."""

    distances: Floats
    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]


def _near_pairs(labelled: Labelled, distances: Distances, rate: float) -> _Near:
    """Return four times as many pairs as the rate accepts, at least 1,000, which is enough for nearly every draw."""
    count = min(max(int(4 * rate * distances.total), 1000), len(distances.different))
    limit = distances.different[count - 1]
    found = []
    for i, j, values, alike, _ in _chunks(labelled):
        kept = ~alike & (values <= limit)
        found.append((values[kept], labelled.people[i[kept]], labelled.people[j[kept]]))
    values, first, second = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(values, kind="stable")
    return _Near(values[order], first[order], second[order])


def _same_pairs(labelled: Labelled) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the person and the distance of each pair of one person, (P,) each."""
    found = []
    for i, _, values, alike, one_camera in _chunks(labelled):
        kept = alike & ~one_camera
        found.append((labelled.people[i[kept]], values[kept]))
    people, values = (np.concatenate(part) for part in zip(*found, strict=True))
    return people, values
