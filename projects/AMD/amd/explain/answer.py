"""The answer of an explanation: a sentence on what a distance means, and what two persons probably differ in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["differs", "alike", "unknown"]


@dataclass(frozen=True)
class AttributeWord:
    """A statement on how two persons compare in one attribute.

    Attributes:
        name: the attribute's field name, e.g. ``"backpack"``.
        text: the statement, e.g. ``"backpack: probably differs (91 %)"``.
        probability: calibrated probability 0..1 that the two differ; None if not known.
        verdict: what the text says; "unknown" if neither is probable enough.
        among_alike: of the pairs that are alike in it, the share 0..1 with a smaller contribution; None if not known.
        among_different: likewise of the pairs that differ in it.
    """

    name: str
    text: str
    probability: float | None
    verdict: Verdict
    among_alike: float | None = None
    among_different: float | None = None


@dataclass(frozen=True)
class Answer:
    """What a calibrated model says about one pair.

    Attributes:
        sentence: how the distance compares with those of pairs of one person and of different persons.
        false_match_rate: share 0..1 of pairs of different persons that are at least as near; None if not known.
        scale_svg: both distributions with this pair marked, as inline SVG without a script; "" if there are none.
        words: statements on the attributes, in the order to show; () without attributes.
        order: names of the attributes in the order to show their contributions; () means the greatest first.
        dataset: name of the dataset on which the numbers were measured.
    """

    sentence: str
    false_match_rate: float | None
    scale_svg: str
    words: tuple[AttributeWord, ...] = ()
    order: tuple[str, ...] = ()
    dataset: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return all values except the drawing."""
        data = asdict(self)
        del data["scale_svg"]
        return data
