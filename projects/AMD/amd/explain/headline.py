"""The first sentences of a report, for a reader who has never heard of re-identification."""

from __future__ import annotations

from collections.abc import Sequence

from .explanation import PairExplanation

_QUESTION = (
    "Do two photographs show the same person? A computer model answers with one number, their distance: it is small if "
    "the model takes both for the same person, and large if it takes them for different persons."
)


def lead(pairs: Sequence[PairExplanation]) -> str:
    """Return the first sentences of a report."""
    if not pairs:
        return _QUESTION
    which = "for this pair" if len(pairs) == 1 else f"for each of {len(pairs)} pairs"
    parts = ["what that number is"]
    if any(pair.answer for pair in pairs):
        parts.append("how it compares with other pairs")
    parts.append("which parts of the photographs it comes from")
    if any(pair.contributions for pair in pairs):
        parts.append("which attributes, such as clothes and bags, make it up")
    return f"{_QUESTION} This page shows {which} {', '.join(parts[:-1])} and {parts[-1]}."


def counted(pairs: Sequence[PairExplanation]) -> str:
    """Return a sentence that counts the pairs of each kind by their labels; "" for one pair or none."""
    if len(pairs) < 2:
        return ""
    same = sum(pair.same_identity is True for pair in pairs)
    different = sum(pair.same_identity is False for pair in pairs)
    wrong = sum(pair.wrong_match for pair in pairs)
    if not same + different:
        return f"{len(pairs)} pairs; no labels say which of them show the same person."
    parts = [f"{same} of one person", f"{different} of different persons"]
    if len(pairs) > same + different:
        parts.append(f"{len(pairs) - same - different} without a label")
    text = f"{len(pairs)} pairs, by their labels: {', '.join(parts)}."
    if not wrong:
        return text
    are = "is a wrong match" if wrong == 1 else "are wrong matches"
    return f"{text} {wrong} of them {are}: another person, nearer than any photograph of the right one."
