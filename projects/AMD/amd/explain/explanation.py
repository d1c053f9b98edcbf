"""The data of an explanation: why a model puts two images as far apart as it does.

| letter | meaning                                                    |
| ------ | ---------------------------------------------------------- |
| M      | number of attributes                                       |
| H, W   | height and width of an image, in pixels                    |
| h, w   | height and width of an attention map                       |
| d      | distance of two images by the explained model              |
| d^k    | part of d that attribute k contributes (Eq. 3)             |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from fastreid_projects.errors import DataError
from fastreid_projects.visualization.heatmap import Image, check_attention, check_image

from .answer import Answer

# What an attribute's maps show: where its contribution arises (signed), or the interpreter's attention.
MapKind = Literal["contributions", "attention"]
MAP_KINDS: tuple[MapKind, ...] = ("contributions", "attention")


@dataclass(frozen=True, eq=False)
class WholeMaps:
    """Where the model's own distance arises, without attributes.

    Attributes:
        query_map: shares of the query image's cells (h, w), finite; positive shares push the two images apart.
        gallery_map: likewise for the gallery image.
        rest: the distance minus all shares.
    """

    query_map: NDArray[Any]
    gallery_map: NDArray[Any]
    rest: float = 0.0

    def __post_init__(self) -> None:
        check_attention(self.query_map, "the map of the distance on the query image")
        check_attention(self.gallery_map, "the map of the distance on the gallery image")


@dataclass(frozen=True, eq=False)
class AttributeContribution:
    """The contribution of one attribute to the distance of a pair.

    Attributes:
        name: the attribute's field name, e.g. ``"backpack"``.
        phrase: how the two persons compare on it, in words, e.g. ``"backpack: only the query has one"``.
        value: d^k >= 0.
        exclusive: True if the two persons truly differ in it, False if they are alike, None if not known.
        query_map: shares of d^k of the query image's cells (h, w), or the attention on that image; finite.
        gallery_map: likewise for the gallery image; its size may differ.
        rest: d^k minus all shares.
        group: the group of the attribute, e.g. ``"clothes"``; "" without a group.
        topic: words for the attribute, e.g. ``"backpack"``; by default the phrase up to its colon.

    Raises:
        DataError: the value is negative or not finite, or a map is not two-dimensional and finite.
    """

    name: str
    phrase: str
    value: float
    exclusive: bool | None
    query_map: NDArray[Any]
    gallery_map: NDArray[Any]
    rest: float = 0.0
    group: str = ""
    topic: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value >= 0):
            raise DataError(f"the contribution of '{self.name}' must be finite and >= 0, not {self.value}")
        check_attention(self.query_map, f"the map of '{self.name}' on the query image")
        check_attention(self.gallery_map, f"the map of '{self.name}' on the gallery image")


@dataclass(frozen=True, eq=False)
class PairExplanation:
    """The explanation of one pair: why a model puts two images as far apart as it does.

    Attributes:
        query_image: RGB, uint8 (H, W, 3).
        gallery_image: RGB, uint8 (H, W, 3); its size may differ.
        query_name: name of the query image, e.g. its path; a page shows the shortest part of a path that is unique.
        gallery_name: name of the gallery image.
        same_identity: whether both show the same person; None if not known.
        distance: d of the model, finite.
        contributions: all M attributes, in any order; empty if the model is explained without an interpreter.
        caption: a sentence to print above the pair.
        whole: where the distance arises; None if not known.
        maps: what the contributions' maps show.
        answer: what the calibrated model says about the pair; None without a calibration.
        query_person: the person in the query image, e.g. "40"; "" if not known.
        gallery_person: likewise for the gallery image.
        wrong_match: whether a search would return the gallery image as a match although it shows another person.

    Raises:
        DataError: an image has a wrong shape or type, the distance is not finite, or there are no contributions.
    """

    query_image: Image
    gallery_image: Image
    query_name: str
    gallery_name: str
    same_identity: bool | None
    distance: float
    contributions: Sequence[AttributeContribution]
    caption: str = ""
    whole: WholeMaps | None = None
    maps: MapKind = "contributions"
    answer: Answer | None = None
    query_person: str = ""
    gallery_person: str = ""
    wrong_match: bool = False

    def __post_init__(self) -> None:
        check_image(self.query_image, f"the query image '{self.query_name}'")
        check_image(self.gallery_image, f"the gallery image '{self.gallery_name}'")
        if not math.isfinite(self.distance):
            raise DataError(
                f"the distance of '{self.query_name}' and '{self.gallery_name}' is {self.distance}"
            )
        if not self.contributions and self.whole is None:
            raise DataError(f"the pair '{self.query_name}' and '{self.gallery_name}' has no contributions")

    @property
    def reconstructed(self) -> float:
        """The distance that the attributes explain: the sum of all d^k (Eq. 3)."""
        return math.fsum(c.value for c in self.contributions)

    @property
    def residual(self) -> float:
        """The part that the attributes do not explain: distance - reconstructed, of either sign."""
        return self.distance - self.reconstructed

    @property
    def ranked(self) -> list[AttributeContribution]:
        """All contributions in the answer's order; without an answer, the greatest first, with ties in given order."""
        order = self.answer.order if self.answer else ()
        places = {name: place for place, name in enumerate(order)}
        return sorted(self.contributions, key=lambda c: (places.get(c.name, 0), -c.value))

    @property
    def shares(self) -> list[float]:
        """The ratios r^k = d^k / (sum of all d^k) (sec. 3.4) in the order of :attr:`ranked`; 0 if all d^k are 0."""
        total = self.reconstructed
        return [c.value / total if total else 0.0 for c in self.ranked]
