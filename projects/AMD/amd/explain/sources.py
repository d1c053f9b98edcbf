"""Where the images of an explanation come from: a file, a folder or a registered dataset.

| letter | meaning              |
| ------ | -------------------- |
| M      | number of attributes |
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastreid.data.datasets import DATASET_REGISTRY

from fastreid_projects.contract import SharesPeople
from fastreid_projects.data.attributes import UNKNOWN, AttributeSet
from fastreid_projects.data.datasets import build_dataset
from fastreid_projects.data.images import is_picture
from fastreid_projects.data.own.names import NAME
from fastreid_projects.errors import ConfigError, DataError

from ..data.attribute_dataset import item_attributes


@dataclass(frozen=True)
class Photo:
    """An image, and what is known of it.

    Attributes:
        path: its file.
        pid: identity; None if it is not known, 0 and below for strangers.
        camid: camera, None if it is not known.
        attributes: M values of 0, 1 or -1 (unknown).
        people: whose identities ``pid`` counts: the dataset, or the one whose people it shows as well.
    """

    path: str
    pid: int | None
    camid: int | None
    attributes: tuple[int, ...]
    people: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).name

    @property
    def identity(self) -> tuple[str, int] | None:
        """Who it is among the people of all datasets; None if it is not known."""
        return None if self.pid is None else (self.people, self.pid)

    def shows(self, other: Photo) -> bool | None:
        """Whether both show the same person; None if it is not known, as of the people of two datasets."""
        if self.pid is None or other.pid is None or self.people != other.people:
            return None
        return self.pid == other.pid

    def is_junk_for(self, query: Photo) -> bool:
        """Whether the protocol leaves it out: the query's own person by the query's own camera."""
        return bool(self.shows(query)) and self.camid == query.camid


def read_source(source: str, part: str, attribute_set: AttributeSet) -> list[Photo]:
    """The images that a name stands for.

    Args:
        source: an image file, a folder (searched with its subfolders, in order of names) or a registered dataset.
        part: "query" or "gallery" of a dataset.
        attribute_set: the M attributes; of a model without an interpreter none.

    Raises:
        DataError: the folder is empty, or the dataset is not found.
        ConfigError: there is neither a file nor a dataset of this name.
    """
    path = Path(source)
    if os.path.isfile(path):
        return [_unknown(path, attribute_set)]
    if os.path.isdir(path):
        files = sorted(p for p in path.rglob("*") if is_picture(p.name) and p.is_file())
        if not files:
            raise DataError(f"the folder {source} holds no image that Pillow reads")
        return [_unknown(file, attribute_set) for file in files]
    if source not in DATASET_REGISTRY._obj_map and not source.startswith(f"{NAME}:"):
        raise ConfigError(f"'{source}' is no image, no folder and no registered dataset")
    dataset = build_dataset(source)
    items = list(getattr(dataset, part))
    attributes = _attributes(dataset, items, attribute_set)
    people = dataset.people if isinstance(dataset, SharesPeople) else source
    return [
        Photo(str(path), int(pid), int(camid), tuple(row), people)
        for (path, pid, camid, *_), row in zip(items, attributes, strict=True)
    ]


def _unknown(path: Path, attribute_set: AttributeSet) -> Photo:
    return Photo(str(path), None, None, (UNKNOWN,) * len(attribute_set))


def _attributes(dataset: Any, items: list[Any], attribute_set: AttributeSet) -> list[list[int]]:
    """Labels, unknown where the dataset has no attribute file."""
    if not len(attribute_set):
        return [[] for _ in items]
    try:
        return item_attributes(dataset, items, attribute_set).tolist()
    except DataError:
        return [[UNKNOWN] * len(attribute_set)] * len(items)
