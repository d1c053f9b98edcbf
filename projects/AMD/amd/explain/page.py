"""The report of explanations: one HTML file that shows which attributes make up a distance, and where it comes from.

The file is self-contained: its style sheet holds each photo once as a data URI, with partly transparent maps on top. A
script searches, filters and enlarges; without it everything is shown. Numbers are rounded such that the printed ones
add up: the contributions to the explained distance, and this and the residual to the distance of the model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fastreid_projects.errors import ConfigError
from fastreid_projects.files import write_aside
from fastreid_projects.visualization.browse import browse
from fastreid_projects.visualization.file_names import tell_apart
from fastreid_projects.visualization.heatmap import colour_bar
from fastreid_projects.visualization.pages import render
from fastreid_projects.visualization.photo_sheet import PhotoSheet
from fastreid_projects.visualization.signed import signed_bar

from .averages import AverageMaps, describe_averages
from .explanation import PairExplanation
from .headline import counted, lead
from .measures import MeasureTable
from .page_entries import MARKS, pair_entry
from .pair_view import PageParts, decimals_for, describe_pair, pair_as_json
from .rank_list import RankList


def write_report(
    path: str | Path,
    title: str,
    pairs: Sequence[PairExplanation],
    *,
    metrics: Sequence[MeasureTable] = (),
    notes: Iterable[str] = (),
    rank_lists: Sequence[RankList] = (),
    averages: Sequence[AverageMaps] = (),
    top_k: int = 5,
) -> Path:
    """Write the explanations of several pairs as one self-contained HTML file.

    The attributes' maps of a pair share one scale (:mod:`.drawing`), and those of the distance have their own; if
    attention is shown, both images of a row share a scale.

    Args:
        path: the file; parent folders are created, an existing file is replaced.
        title: heading; plain text, like all other texts.
        pairs: the explanations in the order to print; may be empty.
        metrics: tables of measures, printed at the end.
        notes: sentences to print at the top, e.g. on which data the model was trained.
        rank_lists: queries, what was found for them, and the explanations of those pairs; printed above ``pairs``.
        averages: mean maps of the attributes over many images, printed below the pairs.
        top_k: number of attributes drawn with maps, >= 1; the list beside them has all M.

    Returns:
        ``path``.

    Raises:
        DataError: the path cannot be written.
        ConfigError: ``top_k`` is below 1.
    """
    if top_k < 1:
        raise ConfigError(f"a report shows at least one attribute per pair, not top_k={top_k}")
    shown = [*(pair for ranks in rank_lists for pair in ranks.pairs), *pairs]
    html = render(
        "report.html.jinja",
        Path(__file__).with_name("templates"),
        title=title,
        lead=lead(shown),
        counted=counted(shown),
        averages=describe_averages(averages),
        measures=list(metrics),
        notes=list(notes),
        attributes=any(pair.contributions for pair in shown) or not shown,
        labelled=any(entry.exclusive is not None for pair in shown for entry in pair.contributions),
        answers=any(
            word.probability is not None for pair in shown if pair.answer for word in pair.answer.words
        ),
        attention="attention" in {pair.maps for pair in shown} | {entry.maps for entry in averages},
        sections=_sections(rank_lists, shown, averages, metrics),
        **_describe(shown, rank_lists, top_k),
    )
    return write_aside(path, html.encode("utf-8"))


def report_as_json(pairs: Sequence[PairExplanation]) -> list[dict[str, Any]]:
    """Return the numbers of a report, exact and as printed, without images and maps.

    Returns:
        One dict per pair: ``query``, ``gallery``, ``same_identity``, ``caption``, ``distance``,
        ``reconstructed``, ``residual``, ``printed`` (the last three as text), ``maps`` (what they show), ``from``,
        ``answer`` and ``contributions`` in the order shown. Each contribution has ``name``, ``group``, ``phrase``,
        ``exclusive``, ``value``, ``share`` (0-1), ``printed_value``, ``printed_percent`` and, except for attention,
        ``from``: the sums over the cells of ``query`` and ``gallery``, and the ``rest`` without a place.
    """
    decimals = decimals_for(pairs)
    return [pair_as_json(pair, decimals) for pair in pairs]


def _describe(shown: Sequence[PairExplanation], rank_lists: Sequence[RankList], top_k: int) -> dict[str, Any]:
    """Return all pairs, those of the rank lists first, with their shared photos and their entries for the tools."""
    page = PageParts(PhotoSheet(), tell_apart(_files(shown, rank_lists)))
    decimals = decimals_for(shown)
    pairs = [describe_pair(pair, number, page, decimals, top_k) for number, pair in enumerate(shown, start=1)]
    rest = iter(pairs)
    lists = [
        _describe_ranks(ranks, decimals, page, list(itertools.islice(rest, len(ranks.pairs))))
        for ranks in rank_lists
    ]
    groups = [f"query{i}" for i, ranks in enumerate(rank_lists, start=1) for _ in ranks.pairs]
    groups += [""] * (len(pairs) - len(groups))
    entries = [pair_entry(pair, group) for pair, group in zip(pairs, groups, strict=True)]
    return {
        "rank_lists": lists,
        "pairs": list(rest),
        "tools": browse(entries, MARKS, "pairs"),
        "colour_bar": page.photos.colour(colour_bar()),
        "signed_bar": page.photos.colour(signed_bar()),
        "photos": page.photos,
    }


def _files(pairs: Sequence[PairExplanation], rank_lists: Sequence[RankList]) -> list[str]:
    names = [name for pair in pairs for name in (pair.query_name, pair.gallery_name)]
    return names + [name for r in rank_lists for name in (r.query, *(found.name for found in r.ranked))]


def _sections(
    lists: Sequence[RankList],
    pairs: Sequence[PairExplanation],
    averages: Sequence[AverageMaps],
    measures: Sequence[MeasureTable],
) -> list[tuple[str, str]]:
    """Return the parts of the page for its contents: the id of each element, and its title."""
    sections = [("guide", "How to read this")]
    sections += [(f"query{i}", f"Query {i}") for i in range(1, len(lists) + 1)]
    if pairs and not lists:
        sections.append(("entries", "Pairs"))
    if averages:
        sections.append(("averages", "On average"))
    return [*sections, ("measures", "What was measured")] if measures else sections


def _describe_ranks(
    ranks: RankList, decimals: int, page: PageParts, pairs: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "query": page.names[ranks.query],
        "person": ranks.person,
        "caption": ranks.caption,
        "photo": page.photos.colour(ranks.image),
        "ranked": [
            {
                "name": page.names[found.name],
                "right": None if found.right is None else bool(found.right),
                "photo": page.photos.colour(found.image),
                "printed": f"{found.distance:.{decimals}f}",
            }
            for found in ranks.ranked
        ],
        "pairs": pairs,
    }
