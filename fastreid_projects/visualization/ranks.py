"""Rank lists as a page: each query beside the pictures found for it, right and wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastreid_projects.data.images import read_image
from fastreid_projects.data.sources import Picture
from fastreid_projects.files import write_aside
from fastreid_projects.visualization.browse import Entry, browse
from fastreid_projects.visualization.file_names import tell_apart
from fastreid_projects.visualization.pages import render
from fastreid_projects.visualization.photo_sheet import PhotoSheet

_MARKS = {
    "right": "the right person first",
    "wrong": "another person first",
    "unknown": "no label, or no match in the gallery",
}


def write_rank_page(
    lists: Sequence[tuple[Any, str]],
    path: str | Path,
    *,
    title: str,
    notes: Sequence[str] = (),
    judge: Callable[[float], bool] | None = None,
) -> Path:
    """Write the page as a single, self-contained HTML file.

    Args:
        lists: (:class:`.rank_lists.Found`, a sentence above it or "").
        path: path of the file.
        title: title of the page.
        notes: sentences at the top of the page.
        judge: function that says whether a distance means the same person; None without a threshold.

    Raises:
        DataError: a picture cannot be read, or the file cannot be written.
    """
    distances = [distance for found, _ in lists for distance in found.distances]
    sheet = _Sheet(lists, judge, decimals=1 if distances and max(distances) >= 10 else 3)
    rows = [sheet.describe(found, caption) for found, caption in lists]
    page = render(
        "rank_page.html.jinja",
        title=title,
        notes=list(notes),
        lists=rows,
        photos=sheet.photos,
        tools=browse([_entry(row, i) for i, row in enumerate(rows, start=1)], _MARKS, "queries"),
    )
    return write_aside(path, page.encode())


class _Sheet:
    """Describe rank lists for the page, reading and embedding each picture once.

    Args:
        lists: see :func:`write_rank_page`.
        judge: see :func:`write_rank_page`.
        decimals: number of decimals of distances.
    """

    def __init__(
        self, lists: Sequence[tuple[Any, str]], judge: Callable[[float], bool] | None, decimals: int
    ) -> None:
        self.photos = PhotoSheet()
        self.judge = judge
        self.decimals = decimals
        self._names = tell_apart(one.path for found, _ in lists for one in (found.query, *found.photos))
        self._shown: dict[str, str] = {}

    def describe(self, found: Any, caption: str) -> dict[str, Any]:
        """Return the values for ``rank_list.html.jinja`` and for :func:`_entry`."""
        return {
            "query": self._names[found.query.path],
            "person": found.query.person,
            "photo": self._photo(found.query),
            "caption": caption,
            "possible": found.possible,
            "nearest": found.distances[0] if found.distances else 0.0,
            "ranked": [
                {
                    "name": self._names[photo.path],
                    "photo": self._photo(photo),
                    "person": photo.person,
                    "right": right,
                    "printed": f"{distance:.{self.decimals}f}",
                    "same": None if self.judge is None else self.judge(distance),
                }
                for photo, distance, right in zip(found.photos, found.distances, found.right, strict=True)
            ],
        }

    def _photo(self, picture: Picture) -> str:
        if picture.path not in self._shown:
            self._shown[picture.path] = self.photos.colour(np.asarray(read_image(picture.path, format="RGB")))
        return self._shown[picture.path]


def _entry(row: dict[str, Any], number: int) -> Entry:
    first = row["ranked"][0]["right"] if row["ranked"] else None
    mark = "unknown" if first is None or not row["possible"] else "right" if first else "wrong"
    shown = row["ranked"]
    return Entry(
        id=f"query{number}",
        title=f"{row['query']} {'✓' if mark == 'right' else '✗' if mark == 'wrong' else ''}".strip(),
        files=(row["query"], *(found["name"] for found in shown)),
        persons=(row["person"], *(found["person"] for found in shown)),
        marks=(mark,),
        distance=row["nearest"],
    )
