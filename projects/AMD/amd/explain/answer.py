"""The answer of an explanation: what a distance means, in a sentence, and what two persons probably differ in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["differs", "alike", "unknown"]


@dataclass(frozen=True)
class AttributeWord:
    """What is said of two persons on one attribute.

    Attributes:
        name: the attribute's field name, e.g. ``"backpack"``.
        text: words for people, e.g. ``"backpack: probably differs (91 %)"``.
        probability: that the two differ, 0..1, as calibrated; None where nothing is known.
        verdict: what the text says; "unknown" where neither is probable enough for a word.
        among_alike: share 0..1 of pairs that are alike in it whose contribution is smaller; None if not known.
        among_different: likewise of pairs that differ in it.
    """

    name: str
    text: str
    probability: float | None
    verdict: Verdict
    among_alike: float | None = None
    among_different: float | None = None


@dataclass(frozen=True)
class Answer:
    """What a calibrated model answers of one pair.

    Attributes:
        sentence: where the distance stands among those of pairs of one person and of different persons.
        false_match_rate: share 0..1 of pairs of different persons that are at least as near; None if not known.
        scale_svg: both distributions with this pair on them, as inline SVG without a script; "" if there is none.
        words: what is said of the attributes, in the order to show; () without attributes.
        order: names of the attributes in the order in which contributions are shown; () shows the greatest first.
        dataset: whose people the numbers were measured on.
    """

    sentence: str
    false_match_rate: float | None
    scale_svg: str
    words: tuple[AttributeWord, ...] = ()
    order: tuple[str, ...] = ()
    dataset: str = ""

    def as_json(self) -> dict[str, Any]:
        """Everything but the drawing."""
        data = asdict(self)
        del data["scale_svg"]
        return data
