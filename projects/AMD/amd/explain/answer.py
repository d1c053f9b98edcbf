"""The answer of an explanation: what a distance means, in a sentence, and what two persons probably differ in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["differs", "alike", "unknown"]


@dataclass(frozen=True)
class AttributeWord:
    """What is said of two persons on one attribute.

    Attributes:
        name: the attribute's field name, e.g. ``"backpack"``.
        text: words for people, e.g. ``"backpack: probably differs (91 %)"``.
        probability: that the two differ, 0..1, as calibrated; None where nothing is known.
        verdict: what the text says; "unknown" where neither is probable enough for a word.
    """

    name: str
    text: str
    probability: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Answer:
    """What a calibrated model answers of one pair.

    Attributes:
        sentence: where the distance stands among those of pairs of one person and of different persons.
        false_match_rate: share 0..1 of pairs of different persons that are at least as near; None if not known.
        scale_svg: both distributions with this pair on them, as inline SVG without a script; "" if there is none.
        words: what is said of the attributes, in the order to show; () without attributes.
    """

    sentence: str
    false_match_rate: float | None
    scale_svg: str
    words: tuple[AttributeWord, ...] = ()
