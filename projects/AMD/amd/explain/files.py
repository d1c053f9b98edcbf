"""An explanation on disk: report.html, report.json, and the maps as PNG and NPY.

| file                        | content                                                                     |
| --------------------------- | --------------------------------------------------------------------------- |
| report.html                 | everything, in one file                                                     |
| report.json                 | numbers and words; rank lists of *all* queries                              |
| pairs/001/query.png, gallery.png | the two images                                                         |
| pairs/001/distance.npy      | float32 (2, h, w): shares of the distance, for each cell of both images     |
| pairs/001/contributions.npy | float32 (2, M, h, w): likewise for each attribute, in the config's order    |
| pairs/001/attention.npy     | replaces contributions.npy with ``--maps attention``                        |
| pairs/001/distance_query.png, distance_gallery.png | where the distance comes from                        |
| pairs/001/1_<name>_query.png, 1_<name>_gallery.png | the maps of the attributes that are shown first      |
| averages/<name>_with.png, <name>_without.png, and .npy | mean maps with and without the attribute         |

An existing folder is replaced only if its report.json says that it is an explanation and it contains no other files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fastreid_projects.errors import DataError
from fastreid_projects.visualization.heatmap import save_png

from .averages import AverageMaps
from .drawing import draw_attribute, draw_whole
from .explanation import PairExplanation
from .measures import MeasureTable
from .page import report_as_json, write_report
from .rank_list import RankList

_REPORT = "report.json"
_KIND = "explanation"
_OWN = re.compile(
    r"report\.(html|json)|pairs/\d+/(query\.png|gallery\.png|(attention|contributions|distance)\.npy|distance_(query|gallery)\.png|\d+_.+_(query|gallery)\.png)"
    r"|averages/.+_(with|without)\.(png|npy)"
)


@dataclass
class Explanation:
    """Everything that one report shows.

    Attributes:
        title: heading.
        rank_lists: chosen queries with their explained pairs.
        pairs: explained pairs that do not belong to a search.
        averages: mean maps of the attributes.
        metrics: tables of measures.
        notes: sentences to print at the top.
        data: additional values for report.json.
    """

    title: str
    rank_lists: list[RankList] = field(default_factory=list)
    pairs: list[PairExplanation] = field(default_factory=list)
    averages: list[AverageMaps] = field(default_factory=list)
    metrics: list[MeasureTable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def all_pairs(self) -> list[PairExplanation]:
        """The pairs of the rank lists, then the others, as they are numbered in the report."""
        return [pair for ranks in self.rank_lists for pair in ranks.pairs] + self.pairs


def check_folder(folder: Path) -> None:
    """Check that an explanation can be written to ``folder`` before any work is done.

    Raises:
        DataError: ``folder`` is a file, cannot be written, or contains something other than an explanation.
    """
    _check_name(folder)
    if folder.exists() and not folder.is_dir():
        raise DataError(f"the explanation cannot be written to {folder}: it is a file")
    foreign = _foreign(folder) if folder.is_dir() else None
    if foreign is not None:
        raise DataError(
            f"the folder {folder} contains {foreign}, which is not part of an explanation; name an empty or new "
            "folder with --output"
        )
    parent = next(p for p in folder.resolve().parents if p.exists())
    for place in (parent, folder) if folder.exists() else (parent,):
        if not place.is_dir() or not os.access(place, os.W_OK):
            raise DataError(f"the explanation cannot be written to {folder}: {place} is not writable")


def _check_name(folder: Path) -> None:
    """Check that the file system accepts the folder's name, also in the longer form it has while being written."""
    try:
        (folder.resolve().parent / f".{folder.name}.{'x' * 8}").exists()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"the explanation cannot be written to {folder}: {reason}; name another folder with --output"
        ) from error


def _foreign(folder: Path) -> str | None:
    """Return a file in the folder that does not belong to an explanation; None if there is none."""
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())
    strange = [name for name in files if not _OWN.fullmatch(name)]
    if strange or not files:
        return strange[0] if strange else None
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        if json.loads((folder / _REPORT).read_text(encoding="utf-8"))["kind"] == _KIND:
            return None
    return _REPORT if _REPORT in files else files[0]


def write_explanation(explanation: Explanation, folder: Path, top_k: int) -> Path:
    """Write all files to a temporary folder beside ``folder``, which then replaces ``folder``.

    Returns:
        The path of report.html.

    Raises:
        DataError: ``folder`` cannot be written, or contains something other than an explanation; it is left unchanged.
    """
    check_folder(folder)
    try:
        with _replacing(folder.resolve()) as fresh:
            _write(explanation, fresh, top_k)
    except OSError as error:
        raise DataError(
            f"the explanation cannot be written to {folder}: {error.strerror or error}"
        ) from error
    return folder / "report.html"


@contextlib.contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Provide a new folder that replaces ``folder`` at the end, but not after an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    fresh, old = aside / "new", aside / "old"
    try:
        fresh.mkdir()
        yield fresh
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)


def _write(explanation: Explanation, folder: Path, top_k: int) -> None:
    write_report(
        folder / "report.html",
        explanation.title,
        explanation.pairs,
        metrics=explanation.metrics,
        notes=explanation.notes,
        rank_lists=explanation.rank_lists,
        averages=explanation.averages,
        top_k=top_k,
    )
    data = {
        "kind": _KIND,
        "title": explanation.title,
        **explanation.data,
        "notes": explanation.notes,
        "pairs": report_as_json(explanation.all_pairs),
    }
    (folder / _REPORT).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    for number, pair in enumerate(explanation.all_pairs, start=1):
        _write_pair(pair, folder / "pairs" / f"{number:03d}", top_k)
    for entry in explanation.averages:
        _write_average(entry, folder / "averages")


def _write_pair(pair: PairExplanation, folder: Path, top_k: int) -> None:
    save_png(folder / "query.png", pair.query_image)
    save_png(folder / "gallery.png", pair.gallery_image)
    images = {"query": pair.query_image, "gallery": pair.gallery_image}
    if pair.whole is not None:
        whole = (pair.whole.query_map, pair.whole.gallery_map)
        np.save(folder / "distance.npy", np.asarray(whole, dtype=np.float32))
        for side, drawn in zip(images, draw_whole(pair.whole, *images.values()), strict=True):
            save_png(folder / f"distance_{side}.png", drawn)
    if pair.contributions:
        maps = [[c.query_map for c in pair.contributions], [c.gallery_map for c in pair.contributions]]
        np.save(folder / f"{pair.maps}.npy", np.asarray(maps, dtype=np.float32))
    for rank, entry in enumerate(pair.ranked[:top_k], start=1):
        for side, drawn in zip(images, draw_attribute(pair, entry, *images.values()), strict=True):
            save_png(folder / f"{rank}_{entry.name}_{side}.png", drawn)


def _write_average(entry: AverageMaps, folder: Path) -> None:
    for side, average in (("with", entry.positive), ("without", entry.negative)):
        drawn = entry.picture(average)
        if drawn is not None and average.shares is not None:
            save_png(folder / f"{entry.name}_{side}.png", drawn)
            np.save(folder / f"{entry.name}_{side}.npy", average.shares)
