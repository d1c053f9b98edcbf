"""Words for a probability that two persons differ in an attribute: never firmer than the number."""

from __future__ import annotations

from fastreid_projects.data.attributes import Attribute

from .answer import AttributeWord, Verdict

# Per cent from which on a word is used, the firmest first; below all of them nothing can be told.
WORDS = ((95, "almost certainly"), (75, "probably"))
_MOST = 99  # per cent: what is estimated is never certain


def attribute_word(attribute: Attribute, probability: float | None, **among: float | None) -> AttributeWord:
    """Say whether two persons differ in an attribute.

    Args:
        attribute: which.
        probability: that they differ, 0..1; None where it cannot be told.
        among: where the contribution stands, see :class:`AttributeWord`.
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
    """Say that the model sees one and the same image."""
    text = f"{attribute.topic}: alike (the model sees no difference)"
    return AttributeWord(attribute.name, text, 0.0, "alike")


def percent_of(probability: float) -> int:
    """Return a probability in per cent, rounded down, at most 99."""
    return min(int(100 * probability + 1e-9), _MOST)


def in_order(words: list[AttributeWord]) -> tuple[AttributeWord, ...]:
    """Put what differs first, then what cannot be told, then what is alike; the more probable to differ first."""
    rank = {"differs": 0, "unknown": 1, "alike": 2}
    return tuple(sorted(words, key=lambda word: (rank[word.verdict], -(word.probability or 0.0))))
