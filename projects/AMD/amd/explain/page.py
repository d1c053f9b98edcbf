"""The report of explanations: one HTML file that says which attributes make up a distance, and where.

The file needs nothing beside it: images are data URIs, the style is inline, there is no script. Printed
numbers are rounded such that they add up: contributions to the explained distance, this and the residual to
the distance of the model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fastreid_projects.errors import ConfigError
from fastreid_projects.files import write_aside
from fastreid_projects.visualization.heatmap import colour_bar, photo_data_uri, png_data_uri
from fastreid_projects.visualization.pages import render
from fastreid_projects.visualization.signed import signed_bar

from .averages import AverageMaps, describe_averages
from .explanation import PairExplanation
from .pair_view import decimals_for, describe_pair, pair_as_json, picture
from .rank_list import RankList


def write_report(
    path: str | Path,
    title: str,
    pairs: Sequence[PairExplanation],
    *,
    metrics: Iterable[tuple[str, str, str]] = (),
    notes: Iterable[str] = (),
    rank_lists: Sequence[RankList] = (),
    averages: Sequence[AverageMaps] = (),
    top_k: int = 5,
) -> Path:
    """Write the explanations of several pairs as one self-contained HTML file.

    The maps of a pair are drawn on one scale (:mod:`.drawing`), the distance's on a separate one; attention, where it
    is shown, on one scale for both images of a row.

    Args:
        path: the file; parent folders are created, an existing file is replaced as a whole.
        title: heading, plain text as all other texts.
        pairs: the explanations, in the order of printing; may be empty.
        metrics: rows (name, value, explanation) of the table at the top.
        notes: sentences to print below it, e.g. on which data the model was trained.
        rank_lists: queries with what was found for them and the explanations of those pairs, above ``pairs``.
        averages: mean maps of the attributes over many images, at the top.
        top_k: number of attributes drawn with heat maps, >= 1; all M are in the list beside them.

    Returns:
        ``path``.

    Raises:
        DataError: the path cannot be written.
        ConfigError: ``top_k`` is below 1.
    """
    if top_k < 1:
        raise ConfigError(f"a report shows at least one attribute per pair, not top_k={top_k}")
    shown = [*pairs, *(pair for ranks in rank_lists for pair in ranks.pairs)]
    decimals = decimals_for(shown)
    numbers = itertools.count(1)
    lists = [_describe_ranks(ranks, decimals, top_k, numbers) for ranks in rank_lists]
    html = render(
        "report.html.jinja",
        Path(__file__).with_name("templates"),
        title=title,
        pairs=[describe_pair(pair, decimals, top_k) | {"number": next(numbers)} for pair in pairs],
        rank_lists=lists,
        averages=describe_averages(averages),
        metrics=list(metrics),
        notes=list(notes),
        attributes=any(pair.contributions for pair in shown) or not shown,
        attention=any(pair.maps == "attention" for pair in shown)
        or any(a.maps == "attention" for a in averages),
        colour_bar=png_data_uri(colour_bar()),
        signed_bar=png_data_uri(signed_bar()),
    )
    return write_aside(path, html.encode("utf-8"))


def report_as_json(pairs: Sequence[PairExplanation]) -> list[dict[str, Any]]:
    """Give the numbers of a report, exact and as printed, without images and maps.

    Returns:
        One dict per pair: ``query``, ``gallery``, ``same_identity``, ``caption``, ``distance``,
        ``reconstructed``, ``residual``, ``printed`` (the last three as text), ``maps`` (what was drawn), ``from``
        and ``contributions``, the greatest first, each with ``name``, ``phrase``, ``exclusive``, ``value``,
        ``share`` (0-1), ``printed_value``, ``printed_percent`` and, but for attention, ``from``: sums over the cells
        of ``query`` and ``gallery``, and the ``rest`` that has no place.
    """
    decimals = decimals_for(pairs)
    return [pair_as_json(pair, decimals) for pair in pairs]


def _describe_ranks(ranks: RankList, decimals: int, top_k: int, numbers: Iterator[int]) -> dict[str, Any]:
    return {
        "query": ranks.query,
        "caption": ranks.caption,
        "picture": photo_data_uri(picture(ranks.image)),
        "ranked": [
            {
                "name": found.name,
                "right": None if found.right is None else bool(found.right),
                "picture": photo_data_uri(picture(found.image)),
                "printed": f"{found.distance:.{decimals}f}",
            }
            for found in ranks.ranked
        ],
        "pairs": [describe_pair(pair, decimals, top_k) | {"number": next(numbers)} for pair in ranks.pairs],
    }
