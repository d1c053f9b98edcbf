"""The numbers behind the metrics of a ranking: counted queries, distractors in the gallery, ties."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from fastreid_projects.evaluation.ranking import RankingResult

_SHOWN = 0.01  # per cent, the last digit of the tables
Counts = dict[str, Any]


class Results(OrderedDict[str, Any]):
    """Metrics by their names, or by dataset and name.

    Attributes:
        counts: the result of :func:`count` for each dataset.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counts: dict[str, Counts] = {}


def count(result: RankingResult, gallery: int) -> Counts:
    """Return the numbers of images that the metrics of a ranking are computed from.

    Args:
        result: the result of the ranking.
        gallery: the number of gallery images.

    Returns:
        ``queries``; ``counted``, the queries with a match; ``gallery``; ``distractors``, the gallery images of
        identities that no query has; ``tied``, the queries with a match that is exactly as far as another image, with
        ``mAP_by_order`` and ``Rank-1_by_order``: the least and the greatest value over all orders of the gallery, in %.
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
    """Describe in sentences what was counted.

    Args:
        counts: from :func:`count`; may also hold ``junk``, the number of images that the dataset left out, and
            ``draws``, the number of splits over which the metrics are averaged.

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
                f"{name} lies between {least:.2f} and {greatest:.2f}, depending on the order of the gallery, as "
                f"{counts['tied']} queries have a match that is exactly as far as another image; TEST.TIES expected "
                "gives the mean over all orders"
            )
    return "\n".join(f"{line}." for line in lines)
