"""What a model's distance means: how it compares with those of pairs of one person and of different persons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .distribution import Distribution, in_words


@dataclass(frozen=True)
class DistanceScale:
    """The distributions of distances on a test set, each None if the test set has no such pair.

    Attributes:
        dataset: name of the test set.
        same: pairs of one person, by two cameras.
        same_camera: pairs of one person, by one camera.
        different: pairs of different persons, by any cameras.
        different_camera: pairs of different persons, by two cameras.
        different_same_camera: pairs of different persons, by one camera.
        cameras: whether cameras are known; if not, ``same`` has all pairs of one person.
    """

    dataset: str
    same: Distribution | None = None
    same_camera: Distribution | None = None
    different: Distribution | None = None
    different_camera: Distribution | None = None
    different_same_camera: Distribution | None = None
    cameras: bool = True

    @property
    def one_person(self) -> Distribution | None:
        """The pairs of one person to compare with: those by two cameras if there are any, else those by one."""
        return self.same or self.same_camera

    @property
    def one_person_words(self) -> str:
        """The words for the pairs of :attr:`one_person`."""
        if not self.cameras:
            return "pairs of one person"
        return f"pairs of one person by {'two cameras' if self.same else 'one camera'}"

    def false_match_rate(self, distance: float) -> float | None:
        """Return the share 0..1 of pairs of different persons that are nearer; None if none were measured."""
        return None if self.different is None else self.different.below(distance)

    def sentence(self, distance: float, printed: str) -> str:
        """Say how a distance compares with the measured ones, without a verdict.

        Args:
            distance: the distance of a pair.
            printed: the distance as text.
        """
        found = []
        if self.different is not None:
            found.append(_stands(self.different, distance, "nearer", "pairs of different persons"))
        if self.one_person is not None:
            found.append(_stands(self.one_person, distance, "farther", self.one_person_words))
        text = f"distance {printed}: {', '.join(found) or 'no pairs were measured'} ({self.dataset})."
        if self.different is None:
            return (
                f"{text} No pairs of different persons were measured, so the false-match rate is not known."
            )
        return f"{text} {_threshold(self.different, distance)}"

    def as_json(self) -> dict[str, Any]:
        """Return the scale in the form that :meth:`from_json` reads, without the dataset's name."""
        names = ("same", "same_camera", "different", "different_camera", "different_same_camera")
        kinds = {name: getattr(self, name) for name in names}
        found = {name: kind.as_json() for name, kind in kinds.items() if kind is not None}
        return {"cameras": self.cameras, "pairs": found}

    @classmethod
    def from_json(cls, dataset: str, data: Mapping[str, Any]) -> DistanceScale:
        """Build a scale from the output of :meth:`as_json`."""
        found = {name: Distribution.from_json(kind) for name, kind in data["pairs"].items()}
        return cls(dataset, **found, cameras=bool(data["cameras"]))


def _stands(distribution: Distribution, distance: float, side: str, what: str) -> str:
    """Return e.g. "nearer than 97 of 100 pairs of different persons", with the other side if it is beyond them all."""
    below = distribution.below(distance)
    share = 1 - below if side == "nearer" else below
    if share <= 0:
        other = "farther" if side == "nearer" else "nearer"
        return f"{other} than all {distribution.pairs:,} {what}"
    return f"{side} than {in_words(share, distribution.pairs)} {what}"


def _threshold(different: Distribution, distance: float) -> str:
    rate = different.below(distance)
    passing = in_words(rate, different.pairs)
    percent = f"below {100 / different.pairs:.2g}" if rate <= 0 else f"{100 * rate:.3g}"
    return (
        f"A threshold at this distance would take {passing} pairs of different persons for one person (false-match "
        f"rate {percent} %)."
    )
