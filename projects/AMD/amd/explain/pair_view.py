"""What a report prints of a pair: numbers that add up as printed, pictures, the lengths of the bars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np

from fastreid_projects.visualization.heatmap import Image, overlay, pair_scale, photo_data_uri

from .explanation import AttributeContribution, PairExplanation

PICTURE_HEIGHT = 256
_PERCENT_DECIMALS = 1


def pair_as_json(pair: PairExplanation, decimals: int) -> dict[str, Any]:
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


def describe_pair(pair: PairExplanation, decimals: int, top_k: int) -> dict[str, Any]:
    """Everything that the template prints of a pair: numbers, pictures and the lengths of the bars."""
    data = pair_as_json(pair, decimals)
    entries = data["contributions"]
    query, gallery = picture(pair.query_image), picture(pair.gallery_image)
    for entry, contribution in zip(entries[:top_k], pair.ranked, strict=False):
        entry |= _draw_maps(contribution, query, gallery)
    rest = entries[top_k:]
    return (
        data
        | _lay_out_bars(entries, pair.distance, pair.reconstructed)
        | {
            "query_picture": photo_data_uri(query),
            "gallery_picture": photo_data_uri(gallery),
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
        "query_map": photo_data_uri(overlay(query, contribution.query_map, low=low, high=high)),
        "gallery_map": photo_data_uri(overlay(gallery, contribution.gallery_map, low=low, high=high)),
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


def picture(image: Image) -> Image:
    """The image at the height of the report, so that heat maps are smooth on small images, too."""
    height, width = image.shape[:2]
    size = (max(1, round(width * PICTURE_HEIGHT / height)), PICTURE_HEIGHT)
    method = cv2.INTER_AREA if height > PICTURE_HEIGHT else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=method).astype(np.uint8)


def decimals_for(pairs: Sequence[PairExplanation]) -> int:
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
