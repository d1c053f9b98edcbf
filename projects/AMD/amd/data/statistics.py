"""Count how often each attribute occurs in a dataset (fig. 3 and 5), as numbers and as a chart.

| letter | meaning                       |
| ------ | ----------------------------- |
| M      | number of attributes          |
| N      | images of a part of a dataset |
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastreid_projects.data.attributes import UNKNOWN, AttributeSet
from fastreid_projects.data.own.counts import count_attributes
from fastreid_projects.data.own.words import HELP, WORDS
from fastreid_projects.data.sources import read_dataset
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.files import write_aside

from .attribute_dataset import DATASET_ATTRIBUTES, attribute_set_of, item_attributes

_HEADER = (
    "attribute", "value 1", "value 0", "part", "persons 1", "persons 0", "images 1", "images 0"
)  # fmt: skip
_PARTS = {"training": ("train",), "test": ("query", "gallery")}
_COLOURS = {"training": "#0b4f8a", "test": "#e08214"}


@dataclass(frozen=True, eq=False)
class PartStatistics:
    """The counts of attributes in a part of a dataset.

    Attributes:
        name: "training" or "test" (query and gallery).
        persons: numbers of persons with value 0 and with value 1, int64 (2, M); a person with both counts twice.
        images: numbers of images with value 0 and with value 1, int64 (2, M).
        labelled: number of persons with at least one known attribute.
        unlabelled: number of images without known attributes, e.g. distractors, which are not counted.
    """

    name: str
    persons: NDArray[np.int64]
    images: NDArray[np.int64]
    labelled: int
    unlabelled: int


def attribute_statistics(dataset_name: str) -> tuple[AttributeSet, list[PartStatistics]]:
    """Count the persons and images of a registered dataset by their attributes.

    Returns:
        The dataset's attributes, and the counts of its training part and its test part.

    Raises:
        ConfigError: no dataset has this name, or it has no attributes.
        DataError: the dataset or its attribute file is not found, or none of its persons has attributes.
    """
    attribute_set = attribute_set_of(dataset_name)
    if attribute_set is None:
        raise ConfigError(
            f"'{dataset_name}' is not a dataset with attributes; those are {', '.join(DATASET_ATTRIBUTES)}, and "
            f"folders of own pictures with an {WORDS} ({HELP})"
        )
    dataset, _ = read_dataset(dataset_name)
    parts = []
    for name, splits in _PARTS.items():
        items = [item for split in splits for item in getattr(dataset, split)]
        rows = item_attributes(dataset, items, attribute_set)
        parts.append(_count(name, [item[1] for item in items], rows))
    if not any(part.persons.sum() for part in parts):
        raise DataError(
            f"the persons of {dataset_name} have no attributes in {attribute_set.file_name}: is it another dataset's?"
        )
    return attribute_set, parts


def _count(name: str, pids: Sequence[int | str], rows: NDArray[np.int8]) -> PartStatistics:
    """Count rows (N, M) of 0, 1 or -1, one for each image."""
    counts = count_attributes(rows, pids)
    known = (rows != UNKNOWN).any(axis=1).tolist()
    labelled = {pid for pid, there in zip(pids, known, strict=True) if there}
    return PartStatistics(
        name, counts.persons[1::-1], counts.pictures[1::-1], len(labelled), len(known) - sum(known)
    )


def write_statistics(
    stem: str | Path, title: str, attribute_set: AttributeSet, parts: Sequence[PartStatistics]
) -> list[Path]:
    """Write ``stem.csv``, all numbers, and ``stem.png``, bars of the persons and images with value 1.

    Raises:
        DataError: the files cannot be written.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_HEADER)
    for k, attribute in enumerate(attribute_set.attributes):
        for part in parts:
            counts = (*part.persons[::-1, k].tolist(), *part.images[::-1, k].tolist())
            writer.writerow((attribute.name, *attribute.values[::-1], part.name, *counts))
    return [
        write_aside(f"{stem}.csv", table.getvalue().encode()),
        write_aside(f"{stem}.png", _draw(title, attribute_set, parts)),
    ]


def _draw(title: str, attribute_set: AttributeSet, parts: Sequence[PartStatistics]) -> bytes:
    """Draw two panels, persons and images, with a bar for each attribute and part; return the PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.5 + 0.3 * len(attribute_set)), layout="constrained")
    places, height = np.arange(len(attribute_set)), 0.8 / len(parts)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, what in zip(panels, ("persons", "images"), strict=True):
        for i, part in enumerate(parts):
            counts = getattr(part, what)[1]
            offset = (i - (len(parts) - 1) / 2) * height
            axes.barh(places + offset, counts, height, color=_COLOURS[part.name], label=part.name)
        axes.set_xlabel(f"{what} with the attribute")
        axes.grid(axis="x", color="#e0e0e0")
        axes.set_axisbelow(True)
    panels[0].set_yticks(places, [attribute.values[1] for attribute in attribute_set.attributes])
    panels[0].set_ylim(len(attribute_set) - 0.5, -0.5)
    panels[1].legend()
    totals = ", ".join(f"{part.labelled} persons in {part.name}" for part in parts)
    figure.suptitle(f"{title}: {totals}")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()
