"""Mean attention of an attribute over many images (AMD, fig. 6).

| letter | meaning                                  |
| ------ | ---------------------------------------- |
| H, W   | height and width of the mean image       |
| h, w   | height and width of attention            |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fastreid_projects.visualization.heatmap import Image, overlay, pair_scale, photo_data_uri


@dataclass(frozen=True, eq=False)
class AverageMap:
    """Attention averaged over images.

    Attributes:
        words: what the images share, e.g. "backpack" or "no backpack".
        images: how many there are.
        mean_image: their mean, RGB uint8 (H, W, 3); None where there is no image.
        attention: their mean attention (h, w); None where there is no image.
    """

    words: str
    images: int
    mean_image: Image | None = None
    attention: NDArray[Any] | None = None

    def picture(self, low: float, high: float) -> Image | None:
        """The map on the mean image, RGB uint8 (H, W, 3)."""
        if self.mean_image is None or self.attention is None:
            return None
        return overlay(self.mean_image, self.attention, low=low, high=high)


@dataclass(frozen=True, eq=False)
class AverageMaps:
    """An attribute's mean attention over images with it and without it, on one scale.

    Attributes:
        name: the attribute's field name.
        topic: what it is about.
        positive: over images with value 1.
        negative: over images with value 0.
    """

    name: str
    topic: str
    positive: AverageMap
    negative: AverageMap

    @property
    def scale(self) -> tuple[float, float]:
        """Ends of the colour map for both; (0, 0) without any image."""
        maps = [side.attention for side in (self.positive, self.negative) if side.attention is not None]
        return pair_scale(*maps) if maps else (0.0, 0.0)


def describe_averages(averages: Sequence[AverageMaps]) -> list[dict[str, Any]]:
    """What the report prints of them."""
    entries = []
    for entry in averages:
        low, high = entry.scale
        sides = []
        for side in (entry.positive, entry.negative):
            drawn = side.picture(low, high)
            sides.append(
                {
                    "words": side.words,
                    "images": side.images,
                    "picture": "" if drawn is None else photo_data_uri(drawn),
                }
            )
        entries.append({"topic": entry.topic, "low": f"{low:.3g}", "high": f"{high:.3g}", "sides": sides})
    return entries
