"""What a ranking's numbers are of: how many queries counted, how many images nobody asks for, how many ties."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from fastreid_projects.evaluation.ranking import RankingResult

_SHOWN = 0.01  # per cent, the last digit of the tables
Counts = dict[str, Any]


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
        ``queries``; ``counted``, those with a match; ``gallery``; ``distractors``, its images of identities that no
        query has; ``tied``, queries of which a match is exactly as far as another image, with ``mAP_by_order`` and
        ``Rank-1_by_order``: the least and the greatest that another order of the gallery would give, in per cent.
    """
    return {
        "queries": len(result.valid),
        "counted": result.num_valid,
        "gallery": gallery,
        "distractors": result.distractors,
        "tied": result.ties.queries,
        "mAP_by_order": [100 * value for value in result.ties.mAP],
        "Rank-1_by_order": [100 * value for value in result.ties.rank_1],
    }


def in_words(counts: Counts) -> str:
    """Say what was counted.

    Args:
        counts: from :func:`count`; besides, ``junk``: images that the dataset left out, and ``draws``: over how many
            splits the metrics are averaged.

    Example:
        >>> print(in_words(dict(queries=80, counted=11, gallery=40, distractors=29)))
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
    for name in ("mAP", "Rank-1"):
        least, greatest = counts.get(f"{name}_by_order", (0, 0))
        if greatest - least >= _SHOWN:
            lines.append(
                f"{name} lies between {least:.2f} and {greatest:.2f} by the order of the gallery, as {counts['tied']} "
                "queries have a match that is exactly as far as another image; TEST.TIES expected gives the mean over "
                "all orders"
            )
    return "\n".join(f"{line}." for line in lines)
