"""What a ranking's numbers are of: how many queries counted, how many images nobody asks for, how many ties."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from fastreid_projects.evaluation.ranking import RankingResult

Counts = dict[str, int]


class Results(OrderedDict[str, Any]):
    """Metrics by their names, or by dataset and name.

    Attributes:
        counts: of each dataset, what :func:`count` says.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counts: dict[str, Counts] = {}


def count(result: RankingResult, gallery: int) -> Counts:
    """Return what the metrics of a ranking are of.

    Args:
        result: of the ranking.
        gallery: its images.

    Returns:
        ``queries``; ``counted``, those with a match; ``tied``, those whose ranks equal distances decide; ``gallery``;
        ``distractors``, its images of identities that no query has.
    """
    return {
        "queries": len(result.valid),
        "counted": result.num_valid,
        "tied": int(result.tied.sum()),
        "gallery": gallery,
        "distractors": result.distractors,
    }


def in_words(counts: Counts) -> str:
    """Say what was counted.

    Args:
        counts: from :func:`count`; besides, ``junk``: images that the dataset left out, and ``draws``: over how many
            splits the metrics are averaged.

    Example:
        >>> print(in_words(dict(queries=80, counted=11, tied=0, gallery=40, distractors=29)))
        Counted: 11 of 80 queries; the others have no match in the gallery and are left out, as the protocol asks.
        Gallery: 40 images, 29 of them distractors, whose identities no query has.
    """
    lines = [f"Counted: {counts['counted']} of {counts['queries']} queries"]
    if counts["counted"] < counts["queries"]:
        lines[0] += "; the others have no match in the gallery and are left out, as the protocol asks"
    lines.append(f"Gallery: {counts['gallery']} images")
    if counts["distractors"]:
        lines[1] += f", {counts['distractors']} of them distractors, whose identities no query has"
    if counts.get("junk"):
        lines[1] += f"; {counts['junk']} junk images are left out"
    if counts.get("draws", 1) > 1:
        lines.append(f"The metrics are means over {counts['draws']} draws of the gallery")
    if counts["tied"]:
        lines.append(
            f"Equal distances decide ranks of {counts['tied']} queries: another order of the gallery gives other "
            "numbers"
        )
    return "\n".join(f"{line}." for line in lines)
