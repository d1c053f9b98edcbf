"""Why a model puts two images as far apart as it does: the data of an explanation.

| letter | meaning                                                    |
| ------ | ---------------------------------------------------------- |
| M      | number of attributes                                       |
| H, W   | height and width of an image, in pixels                    |
| h, w   | height and width of an attention map                       |
| d      | distance of two images by the model that is explained      |
| d^k    | part of it that attribute k contributes (Eq. 3)            |
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

# What an attribute's maps show: where its contribution arises, signed, or the interpreter's attention.
MapKind = Literal["contributions", "attention"]
MAP_KINDS: tuple[MapKind, ...] = ("contributions", "attention")


@dataclass(frozen=True, eq=False)
class WholeMaps:
    """Where the model's own distance arises, without any attribute.

    Attributes:
        query_map: shares of the cells of the query image (h, w), finite: above 0 they push the two apart.
        gallery_map: likewise of the gallery image.
        rest: the distance less all shares.
    """

    query_map: NDArray[Any]
    gallery_map: NDArray[Any]
    rest: float = 0.0

    def __post_init__(self) -> None:
        check_attention(self.query_map, "the map of the distance on the query image")
        check_attention(self.gallery_map, "the map of the distance on the gallery image")


@dataclass(frozen=True, eq=False)
class AttributeContribution:
    """What one attribute adds to the distance of a pair.

    Attributes:
        name: the attribute's field name, e.g. ``"backpack"``.
        phrase: how the two persons compare on it, in words, e.g. ``"backpack: only the query has one"``.
        value: d^k >= 0.
        exclusive: True if the two persons truly differ in it, False if they are alike, None if not known.
        query_map: shares of d^k of the cells of the query image (h, w), or attention on it; finite.
        gallery_map: likewise of the gallery image; its size may be another.
        rest: d^k less all shares.
        group: what the attribute belongs to, e.g. ``"clothes"``; "" where nobody says.
        topic: what the attribute is about, e.g. ``"backpack"``; by default the phrase up to its colon.

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
    """Why a model puts two images that far apart.

    Attributes:
        query_image: RGB, uint8 (H, W, 3).
        gallery_image: RGB, uint8 (H, W, 3); its size may be another.
        query_name: what to call the query image, e.g. its path; a page shows as much of a path as tells files apart.
        gallery_name: what to call the gallery image.
        same_identity: whether both show the same person; None if not known.
        distance: d of the model, finite.
        contributions: all M attributes, in any order; none where the model is explained without an interpreter.
        caption: a sentence to print above the pair.
        whole: where the distance arises; None where it is not known.
        maps: what the contributions' maps show.
        answer: what the calibrated model says of the pair; None without a calibration.
        query_person: whom the query image shows, e.g. "40"; "" if it is not known.
        gallery_person: whom the gallery image shows.
        wrong_match: whether a search gives the gallery image as a match, though it shows another person.

    Raises:
        DataError: an image has another shape or type, the distance is not finite or there is no contribution.
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
        """Distance that the attributes explain, the sum of all d^k (Eq. 3)."""
        return math.fsum(c.value for c in self.contributions)

    @property
    def residual(self) -> float:
        """What the attributes leave unexplained: distance - reconstructed, of either sign."""
        return self.distance - self.reconstructed

    @property
    def ranked(self) -> list[AttributeContribution]:
        """All contributions in the answer's order; without one the greatest first, equal ones as they come."""
        order = self.answer.order if self.answer else ()
        places = {name: place for place, name in enumerate(order)}
        return sorted(self.contributions, key=lambda c: (places.get(c.name, 0), -c.value))

    @property
    def shares(self) -> list[float]:
        """Ratios r^k = d^k / sum of all (section 3.4) in the order of :attr:`ranked`; 0 if all d^k are."""
        total = self.reconstructed
        return [c.value / total if total else 0.0 for c in self.ranked]
