"""Everything that an evaluation measured, as tables for a report, each number beside that of chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..evaluation.tables import FAITHFULNESS, KIND_WORDS, MEASURES, RANKS


class Measure(NamedTuple):
    """A row of a table.

    Attributes:
        name: the name of the measure.
        values: its values as text, one for each of the table's columns; "" for a missing one.
        chance: its value by chance, as text.
        words: what the measure means.
    """

    name: str
    values: Sequence[str]
    chance: str
    words: str


@dataclass(frozen=True)
class MeasureTable:
    """Measures with the same columns.

    Attributes:
        title: heading.
        columns: headings of the columns of values.
        rows: the measures.
        note: a sentence below the table; "" for none.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Measure]
    note: str = ""


_SCORED = {
    "target_": "the model",
    "": "sum of the attributes",
    "reweighted_free_": "re-weighted, without labels",
    "reweighted_label_": "re-weighted by labels (oracle)",
    "placeless_": "attention without place",
}
_RANKING = {
    **{
        f"Rank-{k}": f"searches that find the right person among the first {k}, per cent"
        if k > 1
        else "searches that find the right person first, per cent"
        for k in RANKS
    },
    "mAP": "mean average precision: how early the right photographs are found, per cent",
    "mINP": "how early the last right photograph is found, per cent",
    "metric": "mean of Rank-1 and mAP, by which the best checkpoint is chosen",
}
_SPLIT = {
    "ADRE": "mean error of the sum of the attributes, per cent of the distance (low is good); by chance: if every pair "
    "had the mean distance",
    "X-mAP_e": "whether attributes that truly differ contribute most, per cent; by chance: in a random order",
    "X-mAP_c": "whether attributes that are alike contribute least, per cent; by chance: in a random order",
}
# The areas of the masks, which are not measures of maps but the chance that a random place hits a mask.
_AREAS = {
    "area_alone": "share of the image inside the mask of what it alone shows, per cent",
    "area_shown": "share of the image inside the mask of what it shows, per cent",
    "area_changed": "share of the image altered by changing an attribute, per cent",
}
_ORACLE = (
    "The oracle is told which attributes differ, so that even an interpreter at chance gains by it. Attention without "
    "place: each attention map is replaced by its mean; the loss shows how much the positions contribute."
)
# Predictions for people without labels: meaning, the result for contributions alone, and that of chance or its number.
_TOLD = {
    "words_AUC": (
        "how well the words separate pairs that differ in an attribute from pairs that do not, mean over attributes",
        "share_AUC",
        "",
        "50.00",
    ),
    "words_Brier": (
        "mean squared error of the stated probabilities, times 100 (low is good)",
        "",
        "base_Brier",
        "",
    ),
    "words_error": ("mean error of the stated percentages, in points (low is good)", "", "", ""),
    "words_told": ("attributes on which the words say anything, per cent", "", "", ""),
    "words_right": (
        "attributes said to differ that do, per cent; by chance: as many words on random pairs",
        "",
        "random_words_right",
        "",
    ),
    "words_of_one_person": (
        "pairs of one person that are said to differ in anything, per cent (low is good)",
        "",
        "random_words_of_one_person",
        "",
    ),
    "first_by_words": (
        "pairs of different persons in which an attribute that differs comes first, per cent",
        "first_by_share",
        "random_first",
        "",
    ),
    "first_by_words_near": ("the same for the nearest tenth", "first_by_share_near", "random_first_near", ""),
}
_RANDOM, _RANDOM_KIND = "random_", "random"


class _Results:
    """Results that remember which of them are in a table."""

    def __init__(self, results: Mapping[str, float]) -> None:
        self._values = {
            name: float(value)
            for name, value in results.items()
            if isinstance(value, int | float) and not math.isnan(value)
        }
        self._shown: set[str] = set()

    def text(self, name: str) -> str:
        self._shown.add(name)
        return f"{self._values[name]:.2f}" if name in self._values else ""

    def has(self, name: str) -> bool:
        return name in self._values

    def left(self) -> list[str]:
        """Return the names of results that are in no table, without those of chance."""
        return [name for name in self._values if name not in self._shown and not name.startswith(_RANDOM)]


def measure_tables(
    results: Mapping[str, float], chance: Mapping[str, float] | None = None
) -> list[MeasureTable]:
    """Return everything that was measured, including bad values.

    Args:
        results: the evaluator's results by name; those that no other table has are in the last one, under their names.
        chance: values by chance for Rank-k, mAP, mINP, metric and ADRE; those of others are ``random_NAME`` in results.
    """
    known = _Results({**{f"{_RANDOM}{name}": value for name, value in (chance or {}).items()}, **results})
    scored = [prefix for prefix in _SCORED if any(known.has(f"{prefix}{name}") for name in _RANKING)]
    split = [prefix for prefix in ("", "placeless_") if any(known.has(f"{prefix}{name}") for name in _SPLIT)]
    tables = [
        _scores(known, "Finding the right person", scored, _RANKING, _ORACLE),
        _scores(known, "Splitting a distance into attributes", split, _SPLIT),
        _told(known),
        _attention(known),
        _maps(known),
        _others(known),
    ]
    return [table for table in tables if table.rows]


def _scores(
    known: _Results, title: str, prefixes: Sequence[str], words: Mapping[str, str], note: str = ""
) -> MeasureTable:
    rows = [
        Measure(name, [known.text(f"{p}{name}") for p in prefixes], known.text(f"{_RANDOM}{name}"), meaning)
        for name, meaning in words.items()
        if any(known.has(f"{p}{name}") for p in prefixes)
    ]
    note = note if any(p.startswith(("reweighted_label", "placeless")) for p in prefixes) else ""
    return MeasureTable(title, [_SCORED[p] for p in prefixes], rows, note)


def _attention(known: _Results) -> MeasureTable:
    rows = [
        Measure(
            name,
            [known.text(name)],
            known.text(chance) if isinstance(chance, str) else f"{chance:.2f}",
            words,
        )
        for name, words, chance in FAITHFULNESS
        if known.has(name)
    ]
    return MeasureTable("Attention, and images with one attribute changed", ["measured"], rows)


def _told(known: _Results) -> MeasureTable:
    rows = [
        Measure(
            name,
            [known.text(name), known.text(alone)],
            known.text(chance) or fixed,
            words,
        )
        for name, (words, alone, chance, fixed) in _TOLD.items()
        if known.has(name)
    ]
    return MeasureTable("Statements about people without labels", ["words", "contribution alone"], rows)


def _maps(known: _Results) -> MeasureTable:
    measures = MEASURES | _AREAS
    kinds = [
        kind
        for kind in KIND_WORDS
        if kind != _RANDOM_KIND and any(known.has(f"{kind}_{name}") for name in measures)
    ]
    rows = [
        Measure(
            name.replace("_", " "),
            [known.text(f"{kind}_{name}") for kind in kinds],
            known.text(f"{_RANDOM}{name}"),
            words,
        )
        for name, words in measures.items()
        if any(known.has(f"{kind}_{name}") for kind in kinds)
    ]
    return MeasureTable("Do the maps show the right places?", [KIND_WORDS[kind] for kind in kinds], rows)


def _others(known: _Results) -> MeasureTable:
    rows = [Measure(name, [known.text(name)], known.text(f"{_RANDOM}{name}"), "") for name in known.left()]
    return MeasureTable("More", ["measured"], rows)
