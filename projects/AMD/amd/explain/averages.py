"""Mean maps of an attribute over many images (AMD, fig. 6).

| letter | meaning                                  |
| ------ | ---------------------------------------- |
| H, W   | height and width of the mean image       |
| h, w   | height and width of a map                |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fastreid_projects.visualization.heatmap import Image, overlay, pair_scale, photo_data_uri
from fastreid_projects.visualization.signed import signed_limit, signed_overlay

from .explanation import MapKind


@dataclass(frozen=True, eq=False)
class AverageMap:
    """A map averaged over images.

    Attributes:
        words: what the images have in common, e.g. "backpack" or "no backpack".
        images: number of images.
        mean_image: their mean, RGB uint8 (H, W, 3); None without images.
        shares: their mean map (h, w); None without images.
    """

    words: str
    images: int
    mean_image: Image | None = None
    shares: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class AverageMaps:
    """An attribute's mean maps over images with it and without it, on one scale.

    Attributes:
        name: the attribute's field name.
        topic: words for the attribute, e.g. "backpack".
        positive: the map over images with value 1.
        negative: the map over images with value 0.
        maps: what the maps show.
    """

    name: str
    topic: str
    positive: AverageMap
    negative: AverageMap
    maps: MapKind = "attention"

    @property
    def scale(self) -> tuple[float, float]:
        """The ends of the colour map for both maps; (0, 0) without images."""
        maps = [side.shares for side in (self.positive, self.negative) if side.shares is not None]
        if not maps:
            return 0.0, 0.0
        if self.maps == "attention":
            return pair_scale(*maps)
        limit = signed_limit(*maps)
        return -limit, limit

    def picture(self, side: AverageMap) -> Image | None:
        """Return one of the two maps drawn on its mean image, RGB uint8 (H, W, 3)."""
        if side.mean_image is None or side.shares is None:
            return None
        low, high = self.scale
        if self.maps == "attention":
            return overlay(side.mean_image, side.shares, low=low, high=high)
        return signed_overlay(side.mean_image, side.shares, limit=high)


def describe_averages(averages: Sequence[AverageMaps]) -> list[dict[str, Any]]:
    """Return the values that the report prints for each attribute."""
    entries = []
    for entry in averages:
        low, high = entry.scale
        sides = []
        for side in (entry.positive, entry.negative):
            drawn = entry.picture(side)
            sides.append(
                {
                    "words": side.words,
                    "images": side.images,
                    "picture": "" if drawn is None else photo_data_uri(drawn),
                }
            )
        ends = {"low": f"{low:.3g}", "high": f"{high:.3g}"}
        entries.append({"topic": entry.topic, **ends, "maps": entry.maps, "sides": sides})
    return entries
