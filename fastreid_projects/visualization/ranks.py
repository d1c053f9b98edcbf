"""Rank lists as a page: each query beside what was found for it, right and wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastreid_projects.data.images import read_image
from fastreid_projects.data.sources import Picture
from fastreid_projects.files import write_aside
from fastreid_projects.visualization.heatmap import photo_data_uri
from fastreid_projects.visualization.pages import render

_HEIGHT = 256  # of a picture on the page, at most


def write_rank_page(
    lists: Sequence[tuple[Any, str]],
    path: str | Path,
    *,
    title: str,
    notes: Sequence[str] = (),
    judge: Callable[[float], bool] | None = None,
) -> Path:
    """Write one HTML file that needs no other.

    Args:
        lists: (:class:`.rank_lists.Found`, a sentence above it or "").
        path: of the file.
        title: of the page.
        notes: sentences at its head.
        judge: whether a distance means the same person; None where no threshold is known.

    Raises:
        DataError: a picture cannot be read, or the file cannot be written.
    """
    distances = [distance for found, _ in lists for distance in found.distances]
    decimals = 1 if distances and max(distances) >= 10 else 3
    shown: dict[str, str] = {}

    def picture(one: Picture) -> str:
        if one.path not in shown:
            shown[one.path] = _thumbnail(one.path)
        return shown[one.path]

    def ranked(found: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": photo.name,
                "picture": picture(photo),
                "right": right,
                "printed": f"{distance:.{decimals}f}",
                "same": None if judge is None else judge(distance),
            }
            for photo, distance, right in zip(found.photos, found.distances, found.right, strict=True)
        ]

    rows = [
        {
            "query": found.query.name,
            "picture": picture(found.query),
            "caption": caption,
            "ranked": ranked(found),
        }
        for found, caption in lists
    ]
    page = render("rank_page.html.jinja", title=title, notes=list(notes), lists=rows)
    return write_aside(path, page.encode())


def _thumbnail(path: str) -> str:
    image = read_image(path, format="RGB")
    image.thumbnail((_HEIGHT, _HEIGHT))
    return photo_data_uri(np.asarray(image))
