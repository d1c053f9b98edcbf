"""The report of AMD's explanations: one HTML file that says which attributes make up a distance, and where.

| letter | meaning                                                    |
| ------ | ---------------------------------------------------------- |
| M      | number of attributes                                       |
| H, W   | height and width of an image, in pixels                    |
| h, w   | height and width of an attention map                       |
| d      | distance of two images by the model that is explained      |
| d^k    | part of it that attribute k contributes (Eq. 3)            |

The file needs nothing beside it: images are data URIs, the style is inline, there is no script. Printed
numbers are rounded such that they add up: contributions to the explained distance, this and the residual to
the distance of the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.files import write_aside
from fastreid_projects.visualization.heatmap import (
    Image,
    check_attention,
    check_image,
    colour_bar,
    overlay,
    pair_scale,
    png_data_uri,
)

PICTURE_HEIGHT = 256
_PERCENT_DECIMALS = 1


@dataclass(frozen=True, eq=False)
class AttributeContribution:
    """What one attribute adds to the distance of a pair.

    Attributes:
        name: the attribute's field name, e.g. ``"backpack"``.
        phrase: how the two persons compare on it, in words, e.g. ``"backpack: only the query has one"``.
        value: d^k >= 0.
        exclusive: True if the two persons truly differ in it, False if they are alike, None if not known.
        query_map: attention (h, w) on the query image, finite.
        gallery_map: attention (h, w) on the gallery image, finite; its size may be another.

    Raises:
        DataError: the value is negative or not finite, or a map is not two-dimensional and finite.
    """

    name: str
    phrase: str
    value: float
    exclusive: bool | None
    query_map: NDArray[Any]
    gallery_map: NDArray[Any]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value >= 0):
            raise DataError(f"the contribution of '{self.name}' must be finite and >= 0, not {self.value}")
        check_attention(self.query_map, f"the attention map of '{self.name}' on the query image")
        check_attention(self.gallery_map, f"the attention map of '{self.name}' on the gallery image")


@dataclass(frozen=True, eq=False)
class PairExplanation:
    """Why a model puts two images that far apart.

    Attributes:
        query_image: RGB, uint8 (H, W, 3).
        gallery_image: RGB, uint8 (H, W, 3); its size may be another.
        query_name: what to call the query image, e.g. its file name.
        gallery_name: what to call the gallery image.
        same_identity: whether both show the same person; None if not known.
        distance: d of the model, finite.
        contributions: all M attributes, in any order.
        caption: a sentence to print above the pair.

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

    def __post_init__(self) -> None:
        check_image(self.query_image, f"the query image '{self.query_name}'")
        check_image(self.gallery_image, f"the gallery image '{self.gallery_name}'")
        if not math.isfinite(self.distance):
            raise DataError(
                f"the distance of '{self.query_name}' and '{self.gallery_name}' is {self.distance}"
            )
        if not self.contributions:
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
        """All contributions, the greatest first; equal ones keep their order."""
        return sorted(self.contributions, key=lambda c: -c.value)

    @property
    def shares(self) -> list[float]:
        """Ratios r^k = d^k / sum of all (section 3.4) in the order of :attr:`ranked`; 0 if all d^k are."""
        total = self.reconstructed
        return [c.value / total if total else 0.0 for c in self.ranked]


def write_report(
    path: str | Path,
    title: str,
    pairs: Sequence[PairExplanation],
    *,
    metrics: Iterable[tuple[str, str, str]] = (),
    notes: Iterable[str] = (),
    top_k: int = 5,
) -> Path:
    """Write the explanations of several pairs as one self-contained HTML file.

    Within a row, the attention on both images is drawn on one scale (:func:`.heatmap.pair_scale`); how much
    the attribute weighs is told by its bar, not by the brightness of its map.

    Args:
        path: the file; parent folders are created, an existing file is replaced as a whole.
        title: heading, plain text as all other texts.
        pairs: the explanations, in the order of printing; may be empty.
        metrics: rows (name, value, explanation) of the table at the top.
        notes: sentences to print below it, e.g. on which data the model was trained.
        top_k: number of attributes drawn with heat maps, >= 1; all M are in the list beside them.

    Returns:
        ``path``.

    Raises:
        DataError: the path cannot be written.
        ConfigError: ``top_k`` is below 1.
    """
    if top_k < 1:
        raise ConfigError(f"a report shows at least one attribute per pair, not top_k={top_k}")
    decimals = _decimals(pairs)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("report.html.jinja").render(
        title=title,
        pairs=[_describe_pair(pair, decimals, top_k) for pair in pairs],
        metrics=list(metrics),
        notes=list(notes),
        colour_bar=png_data_uri(colour_bar()),
    )
    return write_aside(path, html.encode("utf-8"))


def report_as_json(pairs: Sequence[PairExplanation]) -> list[dict[str, Any]]:
    """Give the numbers of a report, exact and as printed, without images and maps.

    Returns:
        One dict per pair: ``query``, ``gallery``, ``same_identity``, ``caption``, ``distance``,
        ``reconstructed``, ``residual``, ``printed`` (the last three as text) and ``contributions``, the
        greatest first, each with ``name``, ``phrase``, ``exclusive``, ``value``, ``share`` (0-1),
        ``printed_value`` and ``printed_percent``.
    """
    decimals = _decimals(pairs)
    return [_pair_as_json(pair, decimals) for pair in pairs]


def _pair_as_json(pair: PairExplanation, decimals: int) -> dict[str, Any]:
    values = _round_to_sum([c.value for c in pair.ranked], decimals)
    percents = _round_to_sum([100 * share for share in pair.shares], _PERCENT_DECIMALS)
    distance, total = round(pair.distance * 10**decimals), sum(values)
    return {
        "query": pair.query_name,
        "gallery": pair.gallery_name,
        "same_identity": _plain_bool(pair.same_identity),
        "caption": pair.caption,
        "distance": float(pair.distance),
        "reconstructed": pair.reconstructed,
        "residual": float(pair.residual),
        "printed": {
            "distance": _text(distance, decimals),
            "reconstructed": _text(total, decimals),
            "residual": _text(distance - total, decimals),
        },
        "contributions": [
            _contribution_as_json(contribution, share)
            | {"printed_value": _text(value, decimals), "printed_percent": _text(percent, _PERCENT_DECIMALS)}
            for contribution, share, value, percent in zip(
                pair.ranked, pair.shares, values, percents, strict=True
            )
        ],
    }


def _contribution_as_json(contribution: AttributeContribution, share: float) -> dict[str, Any]:
    return {
        "name": contribution.name,
        "phrase": contribution.phrase,
        "exclusive": _plain_bool(contribution.exclusive),
        "value": float(contribution.value),
        "share": float(share),
    }


def _plain_bool(value: bool | None) -> bool | None:
    return None if value is None else bool(value)


def _describe_pair(pair: PairExplanation, decimals: int, top_k: int) -> dict[str, Any]:
    """Everything that the template prints of a pair: numbers, pictures and the lengths of the bars."""
    data = _pair_as_json(pair, decimals)
    entries = data["contributions"]
    query, gallery = _picture(pair.query_image), _picture(pair.gallery_image)
    for entry, contribution in zip(entries[:top_k], pair.ranked, strict=False):
        entry |= _draw_maps(contribution, query, gallery)
    rest = entries[top_k:]
    return (
        data
        | _lay_out_bars(entries, pair.distance, pair.reconstructed)
        | {
            "query_picture": png_data_uri(query),
            "gallery_picture": png_data_uri(gallery),
            "overshoots": data["printed"]["residual"].startswith("-"),
            "top": entries[:top_k],
            "rest_value": _text_sum((e["printed_value"] for e in rest), decimals),
            "rest_percent": _text_sum((e["printed_percent"] for e in rest), _PERCENT_DECIMALS),
            "rest_share": 100 * math.fsum(e["share"] for e in rest),
        }
    )


def _draw_maps(contribution: AttributeContribution, query: Image, gallery: Image) -> dict[str, str]:
    low, high = pair_scale(contribution.query_map, contribution.gallery_map)
    return {
        "query_map": png_data_uri(overlay(query, contribution.query_map, low=low, high=high)),
        "gallery_map": png_data_uri(overlay(gallery, contribution.gallery_map, low=low, high=high)),
        "low": f"{low:.3g}",
        "high": f"{high:.3g}",
    }


def _lay_out_bars(entries: list[dict[str, Any]], distance: float, reconstructed: float) -> dict[str, float]:
    """Place the bars of the sum, in per cent of their track; each begins where the last one ended."""
    distance = max(distance, 0.0)
    axis = max(distance, reconstructed) or 1.0
    start = 0.0
    for entry in entries:
        entry["topic"] = entry["phrase"].partition(":")[0]
        entry["start"], entry["length"] = 100 * start / axis, 100 * entry["value"] / axis
        start += entry["value"]
    return {
        "sum_length": 100 * reconstructed / axis,
        "residual_start": 100 * min(distance, reconstructed) / axis,
        "residual_length": 100 * abs(distance - reconstructed) / axis,
        "distance_length": 100 * distance / axis,
    }


def _picture(image: Image) -> Image:
    """The image at the height of the report, so that heat maps are smooth on small images, too."""
    height, width = image.shape[:2]
    size = (max(1, round(width * PICTURE_HEIGHT / height)), PICTURE_HEIGHT)
    method = cv2.INTER_AREA if height > PICTURE_HEIGHT else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=method).astype(np.uint8)


def _decimals(pairs: Sequence[PairExplanation]) -> int:
    """Decimals that show the greatest distance of a report with four digits, at most 6."""
    greatest = max((max(abs(p.distance), p.reconstructed) for p in pairs), default=0.0)
    return 3 if greatest == 0 else min(max(3 - math.floor(math.log10(greatest)), 0), 6)


def _round_to_sum(values: Sequence[float], decimals: int) -> list[int]:
    """Round to units of 10^-decimals such that the results add up to the rounded sum (largest remainders)."""
    scaled = [value * 10**decimals for value in values]
    units = [math.floor(value + 1e-9) for value in scaled]
    missing = round(math.fsum(scaled)) - sum(units)
    by_remainder = sorted(range(len(units)), key=lambda k: units[k] - scaled[k])
    for k in by_remainder[: max(missing, 0)]:
        units[k] += 1
    return units


def _text(units: int, decimals: int) -> str:
    return f"{units / 10**decimals:.{decimals}f}"


def _text_sum(numbers: Iterable[str], decimals: int) -> str:
    return _text(sum(round(float(number) * 10**decimals) for number in numbers), decimals)
