"""The calibration of an interpreter: what its distances and contributions are like on labelled people.

| letter | meaning                                    |
| ------ | ------------------------------------------ |
| M      | number of attributes                       |
| d, d^k | distance of a pair, an attribute's part    |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastreid_projects.data.attributes import Attribute

from .answer import Answer, AttributeWord
from .distance_scale import DistanceScale
from .distribution import Distribution
from .scale_drawing import draw_scale
from .word_model import WordModel
from .words import attribute_word, in_order, same_word


@dataclass(frozen=True)
class PartScale:
    """Contributions of one attribute to distances of different persons.

    Attributes:
        alike: of pairs that are alike in it; None of none.
        different: of pairs that differ in it.
    """

    alike: Distribution | None = None
    different: Distribution | None = None


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was measured on a test set.

    Attributes:
        scale: of the distance d.
        names: of the M attributes.
        parts: of each d^k, M of them.
        model: of the words; None where no attribute has enough people of either value.
        by_words: whether contributions times probabilities put a differing attribute first more often than
            contributions alone, on people whom the model was not fitted on.
        measured: numbers of the evaluation on such people, by name.
    """

    scale: DistanceScale
    names: tuple[str, ...] = ()
    parts: tuple[PartScale, ...] = ()
    model: WordModel | None = None
    by_words: bool = False
    measured: Mapping[str, Any] = field(default_factory=dict)

    def answer(
        self,
        attributes: Sequence[Attribute],
        distance: float,
        parts: NDArray[Any],
        norms: tuple[NDArray[Any], NDArray[Any]],
        *,
        one_image: bool = False,
    ) -> Answer:
        """What can be said of a pair.

        Args:
            attributes: the M attributes.
            distance: d.
            parts: d^k, (M,).
            norms: of f^k of either image, (M,) each.
            one_image: the model sees no difference at all.
        """
        printed = f"{distance:.4g}"
        p = self._probabilities(distance, parts, norms)
        words: list[AttributeWord] = []
        order: tuple[str, ...] = ()
        if p is not None and self.model is not None:
            words = [
                same_word(a) if one_image else self._word(a, k, float(p[k]), float(parts[k]))
                for k, a in enumerate(attributes)
            ]
            if self.by_words and not one_image:
                order = tuple(self.names[k] for k in np.argsort(-(parts * p), kind="stable"))
        return Answer(
            self.scale.sentence(distance, printed),
            self.scale.false_match_rate(distance),
            draw_scale(self.scale, distance, printed),
            in_order(words),
            order,
            self.scale.dataset,
        )

    def _probabilities(
        self, distance: float, parts: NDArray[Any], norms: tuple[NDArray[Any], NDArray[Any]]
    ) -> NDArray[np.float64] | None:
        if self.model is None:
            return None
        first, second = norms
        found = self.model.probabilities(first[None], second[None], parts[None], np.array([distance]))
        return np.asarray(found[0])

    def _word(self, attribute: Attribute, k: int, probability: float, part: float) -> AttributeWord:
        told = self.model is not None and self.model.told[k] > 0
        scale = self.parts[k]
        return attribute_word(
            attribute,
            probability if told else None,
            among_alike=None if scale.alike is None else scale.alike.below(part),
            among_different=None if scale.different is None else scale.different.below(part),
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as :meth:`from_json` takes it, without the test set's name."""
        return {
            "distance": self.scale.as_json(),
            "attributes": {
                name: {
                    kind: found.as_json()
                    for kind, found in (("alike", part.alike), ("different", part.different))
                    if found is not None
                }
                for name, part in zip(self.names, self.parts, strict=True)
            },
            "words": None if self.model is None else self.model.as_json(),
            "by_words": self.by_words,
            "measured": dict(self.measured),
        }

    @classmethod
    def from_json(cls, dataset: str, data: Mapping[str, Any]) -> Calibration:
        """Read what :meth:`as_json` has written."""
        attributes = data["attributes"]
        return cls(
            DistanceScale.from_json(dataset, data["distance"]),
            tuple(attributes),
            tuple(
                PartScale(**{kind: Distribution.from_json(found) for kind, found in entry.items()})
                for entry in attributes.values()
            ),
            None if data["words"] is None else WordModel.from_json(data["words"]),
            bool(data["by_words"]),
            data["measured"],
        )
