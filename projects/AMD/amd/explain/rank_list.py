"""The result of a search for one query: the ranked gallery images, right and wrong, and explanations of its pairs.

| letter | meaning                              |
| ------ | ------------------------------------ |
| H, W   | height and width of an image, pixels |
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fastreid_projects.visualization.heatmap import Image

from .explanation import PairExplanation


@dataclass(frozen=True, eq=False)
class RankedImage:
    """A gallery image at its rank.

    Attributes:
        name: e.g. its path.
        image: RGB, uint8 (H, W, 3).
        distance: its distance to the query by the explained model.
        right: whether it shows the query's person; None if not known.
        person: the person it shows; "" if not known.
    """

    name: str
    image: Image
    distance: float
    right: bool | None = None
    person: str = ""


@dataclass(frozen=True, eq=False)
class RankList:
    """A query and what was found for it, the nearest first.

    Attributes:
        query: name of the query image, e.g. its path.
        image: RGB, uint8 (H, W, 3).
        ranked: the gallery images.
        caption: a sentence above them, e.g. why this query is shown.
        pairs: explanations of some or all of them.
        person: the person in the query image; "" if not known.
    """

    query: str
    image: Image
    ranked: list[RankedImage]
    caption: str = ""
    pairs: list[PairExplanation] = field(default_factory=list)
    person: str = ""
