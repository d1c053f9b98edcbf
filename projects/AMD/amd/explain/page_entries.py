"""The entries of a report's pairs, by which its tools search, filter and sort."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastreid_projects.visualization.browse import Entry, Trait

MARKS = {
    "same": "the same person (by the labels)",
    "different": "different persons (by the labels)",
    "wrong": "wrong matches",
    "unknown": "without a label",
}
_SIGNS = {"same": "=", "different": "≠", "unknown": "?"}


def pair_entry(pair: Mapping[str, Any], group: str) -> Entry:
    """Return the entry of a pair.

    Args:
        pair: the output of :func:`.pair_view.describe_pair`.
        group: id of the rank list that the pair belongs to, or "".
    """
    sign = "✗" if pair["wrong"] else _SIGNS[pair["kind"]]
    drawn = len(pair["top"])
    return Entry(
        id=f"pair{pair['number']}",
        title=f"{pair['query']} {sign} {pair['gallery']}, {pair['printed']['distance']}",
        files=(pair["query"], pair["gallery"]),
        persons=pair["persons"],
        marks=(pair["kind"], "wrong") if pair["wrong"] else (pair["kind"],),
        distance=pair["distance"],
        group=group,
        attributes={
            entry["topic"]: Trait(entry["share"], _state(entry), rank < drawn)
            for rank, entry in enumerate(pair["contributions"])
        },
    )


def _state(entry: Mapping[str, Any]) -> str:
    """Return how the two persons compare in an attribute: by the labels if known, else by the calibrated statement."""
    if entry["exclusive"] is not None:
        return "differs" if entry["exclusive"] else "alike"
    word = entry["word"]
    return "" if word is None or word.verdict == "unknown" else word.verdict
