"""What a distance of a model means: where it stands among pairs of one person and pairs of different persons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .distribution import Distribution, in_words


@dataclass(frozen=True)
class DistanceScale:
    """Distances of pairs of a test set.

    Attributes:
        dataset: its name.
        same: pairs of one person, by two cameras.
        same_camera: pairs of one person, by one camera.
        different: pairs of different persons, by any cameras.
        different_camera: those by two cameras.
        different_same_camera: those by one camera.
        cameras: whether cameras are known; else ``same`` are all pairs of one person.

    Each distribution is None where the test set has no such pair.
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
        """Pairs of one person to compare with: by two cameras, where there are any."""
        return self.same or self.same_camera

    @property
    def one_person_words(self) -> str:
        """What those are called."""
        if not self.cameras:
            return "pairs of one person"
        return f"pairs of one person by {'two cameras' if self.same else 'one camera'}"

    def false_match_rate(self, distance: float) -> float | None:
        """Return the share 0..1 of pairs of different persons that are nearer; None where none was measured."""
        return None if self.different is None else self.different.below(distance)

    def sentence(self, distance: float, printed: str) -> str:
        """Say where a distance stands; no verdict.

        Args:
            distance: of a pair.
            printed: as text.
        """
        found = []
        if self.different is not None:
            found.append(_stands(self.different, distance, "nearer", "pairs of different persons"))
        if self.one_person is not None:
            found.append(_stands(self.one_person, distance, "farther", self.one_person_words))
        text = f"distance {printed}: {', '.join(found) or 'no pairs were measured'} ({self.dataset})."
        if self.different is None:
            return f"{text} No pairs of different persons were measured, so that a false-match rate is not known."
        return f"{text} {_threshold(self.different, distance)}"

    def as_json(self) -> dict[str, Any]:
        """Return it as :meth:`from_json` takes it, without the dataset's name."""
        names = ("same", "same_camera", "different", "different_camera", "different_same_camera")
        kinds = {name: getattr(self, name) for name in names}
        found = {name: kind.as_json() for name, kind in kinds.items() if kind is not None}
        return {"cameras": self.cameras, "pairs": found}

    @classmethod
    def from_json(cls, dataset: str, data: Mapping[str, Any]) -> DistanceScale:
        """Read what :meth:`as_json` has written."""
        found = {name: Distribution.from_json(kind) for name, kind in data["pairs"].items()}
        return cls(dataset, **found, cameras=bool(data["cameras"]))


def _stands(distribution: Distribution, distance: float, side: str, what: str) -> str:
    """ "nearer than 97 of 100 pairs of different persons"; beyond all of them, the other side of all."""
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
        f"A threshold put here would take {passing} pairs of different persons for one person (false-match rate "
        f"{percent} %)."
    )
