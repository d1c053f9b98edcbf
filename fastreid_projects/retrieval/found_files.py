"""Write the result of a search to files: ``search.html``, ``search.json`` and ``search.csv``."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastreid_projects.data.sources import Picture
from fastreid_projects.files import check_writable, write_aside
from fastreid_projects.retrieval.matching import Matcher
from fastreid_projects.retrieval.picture_index import PictureIndex
from fastreid_projects.retrieval.rank_lists import Found, by_chance, choose_queries, rank_1
from fastreid_projects.visualization.ranks import write_rank_page

_COLUMNS = ("query", "rank", "gallery", "distance", "right", "same")


def check_output(folder: str | os.PathLike[str]) -> None:
    """Check that the files can be written, before hours of work.

    Raises:
        DataError: they cannot be written.
    """
    check_writable(Path(folder) / "search.html")


def write_found(
    found: Sequence[Found[Picture]],
    folder: str | os.PathLike[str],
    index: PictureIndex,
    matcher: Matcher | None = None,
    queries: int = 9,
    seed: int = 0,
) -> list[str]:
    """Write all rank lists as JSON and as a table, and those of some queries on a page.

    Args:
        found: the result of :meth:`.PictureIndex.rank`.
        folder: folder for the files.
        index: the index that was searched.
        matcher: decides which pictures show the same person; None without a threshold.
        queries: number of queries on the page: the best, the worst and random ones.
        seed: seed of the random ones.

    Returns:
        Lines that say what was found and which file to open.

    Raises:
        DataError: a picture cannot be read, or a file cannot be written.
    """
    folder = Path(folder)
    content: dict[str, Any] = {
        "model": index.extractor.digest,
        "index": index.kind,
        "gallery": len(index),
        "threshold": None if matcher is None else matcher.fitted.threshold,
        "queries": [_as_json(entry, matcher) for entry in found],
    }
    lines = [
        f"{len(found)} {'query' if len(found) == 1 else 'queries'}, {len(index)} "
        f"{'picture' if len(index) == 1 else 'pictures'} in the gallery"
    ]
    notes = list(lines)
    score = rank_1(found)
    if score is not None:
        content["Rank-1"] = score
        counted = sum(entry.possible for entry in found)
        chance = by_chance([entry.query for entry in found], list(index.pictures.values()))["Rank-1"]
        notes.append(
            f"Rank-1 {score:.2f} % of the {counted} queries with a match in the gallery; by chance {chance:.2f} %."
        )
        lines.append(f"Rank-1 {score:.2f} %")
    if matcher is not None:
        fitted = matcher.fitted
        notes.append(
            f"same: nearer than the threshold {fitted.threshold:.4g}, as {100 * fitted.false_match_rate:g} % of the "
            "pairs of different persons are."
        )
    chosen = choose_queries(found, queries, seed)
    page = write_rank_page(
        chosen,
        folder / "search.html",
        title="The nearest pictures to each query",
        notes=notes,
        judge=None if matcher is None else lambda distance: matcher.judge(distance).same,
    )
    write_aside(folder / "search.json", (json.dumps(content, indent=1) + "\n").encode())
    write_aside(folder / "search.csv", _table(content["queries"]).encode("utf-8", "surrogateescape"))
    return [*lines, f"Open {page}"]


def _as_json(entry: Found[Picture], matcher: Matcher | None) -> dict[str, Any]:
    ranked = zip(entry.photos, entry.distances, entry.right, strict=True)
    return {
        "query": entry.query.path,
        "counts": entry.possible,
        "ranked": [
            {
                "rank": rank,
                "gallery": photo.path,
                "distance": distance,
                "right": right,
                "same": None if matcher is None else matcher.judge(distance).same,
            }
            for rank, (photo, distance, right) in enumerate(ranked, start=1)
        ],
    }


def _table(queries: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for query in queries:
        for hit in query["ranked"]:
            values = ["" if hit[name] is None else hit[name] for name in _COLUMNS[1:]]
            writer.writerow([query["query"], *values])
    return text.getvalue()
