"""The calibration of an interpreter: how its distances and contributions are distributed on labelled people.

| letter | meaning                                             |
| ------ | --------------------------------------------------- |
| M      | number of attributes                                |
| d, d^k | distance of a pair, contribution of an attribute    |
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
    """The contributions of one attribute to the distances of different persons.

    Attributes:
        alike: their distribution over pairs that are alike in it; None without such pairs.
        different: their distribution over pairs that differ in it; None without such pairs.
    """

    alike: Distribution | None = None
    different: Distribution | None = None


@dataclass(frozen=True, eq=False)
class Calibration:
    """The values measured on a test set.

    Attributes:
        scale: the distributions of the distance d.
        names: the names of the M attributes.
        parts: the distributions of each d^k, M of them.
        model: the model that predicts differences; None if no attribute has enough people with each value.
        by_words: whether contributions times probabilities put a differing attribute first more often than
            contributions alone do, on people whom the model was not fitted on.
        measured: the results of the evaluation on such people, by name.
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
        """Return what the calibration says about a pair.

        Args:
            attributes: the M attributes.
            distance: d.
            parts: d^k, (M,).
            norms: the norms of f^k of both images, (M,) each.
            one_image: whether the model sees no difference at all.
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
        """Return the calibration in the form that :meth:`from_json` reads, without the test set's name."""
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
        """Build a calibration from the output of :meth:`as_json`."""
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
