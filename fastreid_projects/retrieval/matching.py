"""Decide whether pictures show the same person, by a threshold for a wanted false-match rate that belongs to one model.

Example::

    from fastreid_projects.retrieval.matching import Matcher

    matcher = Matcher.fit(extractor, "Market1501", rate=1e-3)     # labelled pictures
    matcher.save("threshold.json")
    matcher = Matcher.load("threshold.json", extractor)           # refused with other weights
    matcher.compare("a.jpg", "b.jpg")                             # Match(distance=0.71, same=True)
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastreid_projects.data.images import ImageLike
from fastreid_projects.data.sources import read_labelled
from fastreid_projects.errors import ConfigError, DataError, WeightsError
from fastreid_projects.evaluation.verification import (
    Distances,
    Labelled,
    bootstrap,
    det_curve,
    equal_error,
    pair_distances,
    tar_at_far,
)
from fastreid_projects.extractor import Extractor, Features
from fastreid_projects.files import write_aside

RATES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


class Match(NamedTuple):
    """The decision on two pictures.

    Attributes:
        distance: Euclidean distance of their features.
        same: whether the distance is below the threshold.
    """

    distance: float
    same: bool


@dataclass(frozen=True)
class Threshold:
    """A threshold for the distance, and the data it was fitted on.

    Attributes:
        threshold: pairs with a smaller distance count as the same person.
        false_match_rate: maximum share 0..1 of the pairs of different persons that are below the threshold.
        threshold_interval: 95 % interval of the threshold, by a bootstrap over persons.
        true_match_rate: share 0..1 of the pairs of one person that are below the threshold.
        true_match_rate_interval: its 95 % interval.
        people: number of persons.
        pictures: number of their pictures.
        pairs_same: number of pairs of one person (by two cameras, if cameras are known).
        pairs_different: number of pairs of different persons.
        model: the digest of the model that the threshold belongs to.
        normalized: whether the features have unit length.
        verification: measures in per cent: ``TAR@FAR=...`` and ``EER``.
    """

    threshold: float
    false_match_rate: float
    threshold_interval: tuple[float, float]
    true_match_rate: float
    true_match_rate_interval: tuple[float, float]
    people: int
    pictures: int
    pairs_same: int
    pairs_different: int
    model: str
    normalized: bool
    verification: dict[str, float] = field(default_factory=dict)


class Matcher:
    """Decide whether two pictures show the same person.

    Args:
        extractor: computes the features.
        fitted: the threshold.

    Attributes:
        distances: the distances of the pairs that the threshold was fitted on; None after :meth:`load`.

    Raises:
        WeightsError: the threshold belongs to another model.
    """

    def __init__(self, extractor: Extractor, fitted: Threshold) -> None:
        if (fitted.model, fitted.normalized) != (extractor.digest, extractor.normalize):
            raise WeightsError(
                f"the threshold belongs to another model ({fitted.model[:12]}, not {extractor.digest[:12]}), or to "
                "another input size, metric or flip setting, so that its distances are not comparable; fit one for "
                "this model with 'fastreid-projects threshold'"
            )
        self.extractor = extractor
        self.fitted = fitted
        self.distances: Distances | None = None

    @classmethod
    def fit(
        cls,
        extractor: Extractor,
        images: str | os.PathLike[str] | Sequence[ImageLike],
        people: Sequence[Any] | None = None,
        cameras: Sequence[Any] | None = None,
        *,
        rate: float = 1e-3,
        draws: int = 1000,
        seed: int = 0,
        progress: bool = False,
    ) -> Matcher:
        """Fit the threshold to pictures of known persons that the model was not trained on.

        Args:
            extractor: computes the features.
            images: pictures; or the name of a dataset, of a table, or of a folder with a folder for each person.
            people: the person in each picture; not with a name in ``images``.
            cameras: the camera of each picture; None if not known.
            rate: the wanted false-match rate, 0..1.
            draws: number of draws of the bootstrap.
            seed: seed of the draws.
            progress: whether to show a progress bar on a terminal.

        Raises:
            ConfigError: the rate is not between 0 and 1.
            DataError: a picture cannot be read, or the pairs are too few for the rate.
        """
        if not 0 < rate < 1:
            raise ConfigError(
                f"the false-match rate is {rate:g}; it has to be above 0 and below 1, e.g. 0.001"
            )
        if isinstance(images, str | os.PathLike):
            known = read_labelled(images, "query", "gallery")
            images, people, cameras = known, [p.pid for p in known], [p.camid for p in known]
        if people is None or len(people) != len(images):
            raise DataError(
                f"{len(images)} pictures need {len(images)} persons, not {0 if people is None else len(people)}"
            )
        labelled = _labelled(extractor(images, progress=progress), people, cameras)
        if 0 < labelled.different < 1 / rate:
            least = _rounded_up(1 / labelled.different)
            greater = f", or take a greater rate, {least:g} (--rate) or more" if least < 1 else ""
            raise DataError(
                f"a false-match rate of {rate:g} needs at least {math.ceil(1 / rate)} pairs of different persons, but "
                f"the {len(people)} pictures give {labelled.different}: add pictures{greater}"
            )
        distances = pair_distances(labelled)  # says so where all pictures show one person
        matcher = cls(extractor, _fitted(extractor, labelled, distances, rate, draws, seed))
        matcher.distances = distances
        return matcher

    def compare(self, first: ImageLike, second: ImageLike) -> Match:
        """Decide whether two pictures show the same person.

        Raises:
            DataError: a picture cannot be read.
        """
        return self.compare_all([first], [second])[0]

    def compare_all(self, first: Sequence[ImageLike], second: Sequence[ImageLike]) -> list[Match]:
        """Compare the i-th picture of one list with the i-th of the other.

        Raises:
            DataError: a picture cannot be read, or the lists differ in length.
        """
        if len(first) != len(second):
            raise DataError(f"{len(first)} pictures cannot be compared one by one with {len(second)}")
        a, b = np.split(self.extractor([*first, *second]), [len(first)])
        return [self.judge(float(distance)) for distance in np.linalg.norm(a - b, axis=1)]

    def judge(self, distance: float) -> Match:
        """Decide by the distance of two features."""
        return Match(distance, distance < self.fitted.threshold)

    def det_curve(self) -> Any:
        """Return the DET curve of the pairs that the threshold was fitted on, (points, 3): threshold, FAR, FRR.

        Raises:
            DataError: the threshold was loaded from a file, which does not contain these pairs.
        """
        if self.distances is None:
            raise DataError(
                "the file of a threshold does not contain distances: fit the threshold again for its DET curve"
            )
        return det_curve(self.distances)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the threshold as JSON.

        Raises:
            DataError: the file cannot be written.
        """
        return write_aside(path, (json.dumps(asdict(self.fitted), indent=2) + "\n").encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str], extractor: Extractor) -> Matcher:
        """Read a threshold for an extractor.

        Raises:
            DataError: the file cannot be read, or does not hold a threshold.
            WeightsError: it belongs to another model.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(extractor, Threshold(**{**content, "threshold": float(content["threshold"])}))
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = getattr(error, "strerror", None) or "it was not written by Matcher.save"
            raise DataError(
                f"the threshold {os.fspath(path)} cannot be read: {reason}; fit one with 'fastreid-projects threshold'"
            ) from error


def _rounded_up(rate: float) -> float:
    """Return a rate of two digits that is not below another."""
    unit = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return math.ceil(rate / unit * (1 - 1e-9)) * unit


def _labelled(features: Features, people: Sequence[Any], cameras: Sequence[Any] | None) -> Labelled:
    codes = np.unique([str(person) for person in people], return_inverse=True)[1]
    known = cameras is not None and None not in cameras
    shot_by = np.unique([str(camera) for camera in cameras or ()], return_inverse=True)[1]
    return Labelled(features, codes, shot_by if known else np.zeros_like(codes))


def _fitted(
    extractor: Extractor, labelled: Labelled, distances: Distances, rate: float, draws: int, seed: int
) -> Threshold:
    threshold = distances.threshold(rate)
    intervals = bootstrap(labelled, distances, rate, draws, seed)
    measures = {f"TAR@FAR={far:.0e}": 100 * tar for far, tar in tar_at_far(distances, RATES).items()}
    equal = equal_error(distances)
    if equal is not None:
        measures["EER"] = 100 * equal.rate
    return Threshold(
        threshold=threshold,
        false_match_rate=rate,
        threshold_interval=intervals.threshold,
        true_match_rate=distances.tar(threshold),
        true_match_rate_interval=intervals.tar,
        people=int(labelled.people.max()) + 1,
        pictures=len(labelled.people),
        pairs_same=len(distances.same),
        pairs_different=distances.total,
        model=extractor.digest,
        normalized=extractor.normalize,
        verification=measures,
    )
