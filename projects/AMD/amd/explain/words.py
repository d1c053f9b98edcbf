"""Statements on how two persons compare in an attribute, no firmer than the probability allows."""

from __future__ import annotations

from fastreid_projects.data.attributes import Attribute

from .answer import AttributeWord, Verdict

# The percentage from which each word is used, the firmest first; below all of them nothing is claimed.
WORDS = ((95, "almost certainly"), (75, "probably"))
_MOST = 99  # per cent: an estimate is never certain


def attribute_word(attribute: Attribute, probability: float | None, **among: float | None) -> AttributeWord:
    """Say whether two persons differ in an attribute.

    Args:
        attribute: the attribute.
        probability: probability 0..1 that they differ; None if it cannot be predicted.
        among: how the contribution compares with others, see :class:`AttributeWord`.
    """
    if probability is None:
        text = f"{attribute.topic}: cannot be told"
        return AttributeWord(attribute.name, text, None, "unknown", **among)
    verdict: Verdict = "differs" if probability >= 0.5 else "alike"
    percent = percent_of(max(probability, 1 - probability))
    firm = next((word for least, word in WORDS if percent >= least), None)
    if firm is None:
        text = f"{attribute.topic}: cannot be told ({attribute.differ}: {percent_of(probability)} %)"
        return AttributeWord(attribute.name, text, probability, "unknown", **among)
    said = attribute.differ if verdict == "differs" else "alike"
    text = f"{attribute.topic}: {firm} {said} ({percent} %)"
    return AttributeWord(attribute.name, text, probability, verdict, **among)


def same_word(attribute: Attribute) -> AttributeWord:
    """Say that the model sees no difference, as both images are the same."""
    text = f"{attribute.topic}: alike (the model sees no difference)"
    return AttributeWord(attribute.name, text, 0.0, "alike")


def percent_of(probability: float) -> int:
    """Return a probability in per cent, rounded down, at most 99."""
    return min(int(100 * probability + 1e-9), _MOST)


def in_order(words: list[AttributeWord]) -> tuple[AttributeWord, ...]:
    """Sort by verdict (differs, unknown, alike), and within each by falling probability to differ."""
    rank = {"differs": 0, "unknown": 1, "alike": 2}
    return tuple(sorted(words, key=lambda word: (rank[word.verdict], -(word.probability or 0.0))))
