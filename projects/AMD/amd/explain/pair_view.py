"""What a report prints for a pair: rounded numbers that add up, pictures, and the lengths of the bars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from fastreid_projects.visualization.photo_sheet import PhotoSheet

from .answer import Answer
from .drawing import attribute_scale, layer_attribute, layer_whole, whole_limit
from .explanation import AttributeContribution, PairExplanation
from .places import in_words, thirds

_PERCENT_DECIMALS = 1
_UNTOLD = ": cannot be told"  # printed once, above all such attributes


@dataclass(frozen=True)
class PageParts:
    """The parts that all pairs of a page share.

    Attributes:
        photos: the embedded photos.
        names: the printed name of each file.
    """

    photos: PhotoSheet
    names: Mapping[str, str]


def pair_as_json(pair: PairExplanation, decimals: int) -> dict[str, Any]:
    values = _round_to_sum([c.value for c in pair.ranked], decimals)
    percents = _round_to_sum([100 * share for share in pair.shares], _PERCENT_DECIMALS)
    distance, total = round(pair.distance * 10**decimals), sum(values)
    return {
        "query": pair.query_name,
        "gallery": pair.gallery_name,
        "maps": pair.maps,
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
        **_whole_as_json(pair, distance, decimals),
        "answer": None if pair.answer is None else pair.answer.as_json(),
        "contributions": [
            _contribution_as_json(contribution, share)
            | {"printed_value": _text(value, decimals), "printed_percent": _text(percent, _PERCENT_DECIMALS)}
            | _split_by_image(pair, contribution, value, decimals)
            for contribution, share, value, percent in zip(
                pair.ranked, pair.shares, values, percents, strict=True
            )
        ],
    }


def _whole_as_json(pair: PairExplanation, units: int, decimals: int) -> dict[str, Any]:
    """Return where the distance comes from: the sums over the cells of each image, exact and as printed."""
    if pair.whole is None:
        return {}
    maps = (pair.whole.query_map, pair.whole.gallery_map)
    return {"from": _sums_as_json(maps, pair.whole.rest, units, decimals)}


def _split_by_image(
    pair: PairExplanation, contribution: AttributeContribution, units: int, decimals: int
) -> dict[str, Any]:
    """Return the same for an attribute; {} for attention, which does not add up to a distance."""
    if pair.maps != "contributions":
        return {}
    maps = (contribution.query_map, contribution.gallery_map)
    return {"from": _sums_as_json(maps, contribution.rest, units, decimals)}


def _sums_as_json(maps: Sequence[Any], rest: float, units: int, decimals: int) -> dict[str, Any]:
    """Return the sums of both maps and the rest; as printed, they add up to ``units`` of 10^-decimals.

    The rest is printed if it is larger than rounding errors; else it is added to the gallery's printed sum.
    """
    sums = [float(np.sum(m, dtype=np.float64)) for m in maps]
    query, gallery = (round(value * 10**decimals) for value in sums)
    seen = abs(rest) * 10**decimals >= 1
    if not seen:
        gallery = units - query
    return {
        "query": sums[0],
        "gallery": sums[1],
        "rest": float(rest),
        "printed_query": _signed(query, decimals),
        "printed_gallery": _signed(gallery, decimals),
        "printed_rest": _signed(units - query - gallery, decimals) if seen else "",
    }


def _contribution_as_json(contribution: AttributeContribution, share: float) -> dict[str, Any]:
    return {
        "name": contribution.name,
        "group": contribution.group,
        "phrase": contribution.phrase,
        "exclusive": _plain_bool(contribution.exclusive),
        "value": float(contribution.value),
        "share": float(share),
    }


def _plain_bool(value: bool | None) -> bool | None:
    return None if value is None else bool(value)


def describe_pair(
    pair: PairExplanation, number: int, page: PageParts, decimals: int, top_k: int
) -> dict[str, Any]:
    """Return everything that the template prints for a pair: numbers, pictures and the lengths of the bars.

    Args:
        pair: the explanation.
        number: number of the pair on the page.
        page: the parts that all pairs share.
        decimals: number of decimals of distances.
        top_k: number of attributes drawn.
    """
    data = pair_as_json(pair, decimals)
    entries = data["contributions"]
    words = {word.name: word for word in pair.answer.words} if pair.answer else {}
    for entry, contribution in zip(entries, pair.ranked, strict=True):
        entry["topic"] = contribution.topic or contribution.phrase.partition(":")[0]
        entry["word"] = words.get(contribution.name)
    for entry, contribution in zip(entries[:top_k], pair.ranked, strict=False):
        entry |= _draw_maps(pair, contribution, page)
    rest = entries[top_k:]
    return (
        data
        | _lay_out_bars(entries, pair.distance, pair.reconstructed)
        | {
            "number": number,
            "query": page.names[pair.query_name],
            "gallery": page.names[pair.gallery_name],
            "query_path": pair.query_name,
            "gallery_path": pair.gallery_name,
            "persons": [pair.query_person, pair.gallery_person],
            "kind": {None: "unknown", True: "same", False: "different"}[data["same_identity"]],
            "wrong": pair.wrong_match,
            "answer": _describe_answer(pair.answer),
            "query_photo": page.photos.colour(pair.query_image),
            "gallery_photo": page.photos.colour(pair.gallery_image),
            "whole": _draw_whole(pair, page),
            "overshoots": data["printed"]["residual"].startswith("-"),
            "top": entries[:top_k],
            "groups": _by_group(entries, decimals),
            "by_value": pair.ranked == sorted(pair.ranked, key=lambda c: -c.value),
            "rest_value": _text_sum((e["printed_value"] for e in rest), decimals),
            "rest_percent": _text_sum((e["printed_percent"] for e in rest), _PERCENT_DECIMALS),
            "rest_share": 100 * math.fsum(e["share"] for e in rest),
        }
    )


def _by_group(entries: Sequence[Mapping[str, Any]], decimals: int) -> list[tuple[str, str]]:
    """Groups of attributes with the sums of their printed contributions, the greatest first; [] without a group."""
    sums: dict[str, list[str]] = {}
    for entry in entries:
        sums.setdefault(entry["group"], []).append(entry["printed_value"])
    if not any(sums):
        return []
    found = [(group or "no group", _text_sum(values, decimals)) for group, values in sums.items()]
    return sorted(found, key=lambda pair: -float(pair[1]))


def _describe_answer(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    told = [word for word in answer.words if word.verdict != "unknown"]
    return {
        "sentence": answer.sentence,
        "scale": Markup(answer.scale_svg),
        "told": told,
        "untold": [word.text.replace(_UNTOLD, "") for word in answer.words if word.verdict == "unknown"],
    }


def _draw_maps(pair: PairExplanation, contribution: AttributeContribution, page: PageParts) -> dict[str, str]:
    low, high = attribute_scale(pair, contribution)
    query, gallery = layer_attribute(pair, contribution)
    below = page.photos.colour if pair.maps == "attention" else page.photos.grey
    return {
        "query_map": query.data_uri(),
        "gallery_map": gallery.data_uri(),
        "query_below": below(pair.query_image),
        "gallery_below": below(pair.gallery_image),
        "low": f"{low:.3g}",
        "high": f"{high:.3g}",
    }


def _draw_whole(pair: PairExplanation, page: PageParts) -> dict[str, Any] | None:
    if pair.whole is None:
        return None
    query, gallery = layer_whole(pair.whole)
    return {
        "query_map": query.data_uri(),
        "gallery_map": gallery.data_uri(),
        "query_below": page.photos.grey(pair.query_image),
        "gallery_below": page.photos.grey(pair.gallery_image),
        "limit": f"{whole_limit(pair.whole):.3g}",
        "where": in_words(thirds(pair.whole.query_map, pair.whole.gallery_map)),
    }


def _lay_out_bars(entries: list[dict[str, Any]], distance: float, reconstructed: float) -> dict[str, float]:
    """Place the bars of the sum, in per cent of their track; each starts where the previous one ends."""
    distance = max(distance, 0.0)
    axis = max(distance, reconstructed) or 1.0
    start = 0.0
    for entry in entries:
        entry["start"], entry["length"] = 100 * start / axis, 100 * entry["value"] / axis
        start += entry["value"]
    return {
        "sum_length": 100 * reconstructed / axis,
        "residual_start": 100 * min(distance, reconstructed) / axis,
        "residual_length": 100 * abs(distance - reconstructed) / axis,
        "distance_length": 100 * distance / axis,
    }


def decimals_for(pairs: Sequence[PairExplanation]) -> int:
    """Return the number of decimals, at most 6, that shows the greatest distance of a report with four digits."""
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


def _signed(units: int, decimals: int) -> str:
    """Return the number with its sign; a true minus sign is as wide as a plus."""
    return f"{'−' if units < 0 else '+'}{_text(abs(units), decimals)}"


def _text_sum(numbers: Iterable[str], decimals: int) -> str:
    return _text(sum(round(float(number) * 10**decimals) for number in numbers), decimals)
