"""The images of an explanation, read from a file, a folder or a registered dataset.

| letter | meaning              |
| ------ | -------------------- |
| M      | number of attributes |
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

from fastreid_projects.data.attributes import UNKNOWN, AttributeSet
from fastreid_projects.data.sources import Picture, is_own_dataset, pictures_below, read_dataset
from fastreid_projects.errors import DataError

from ..data.attribute_dataset import item_attributes

logger = logging.getLogger("fastreid.projects.amd")


@dataclass(frozen=True)
class Photo(Picture):
    """A picture with its attributes.

    Attributes:
        attributes: M values of 0, 1 or -1 (unknown).
    """

    attributes: tuple[int, ...] = ()


def read_source(source: str, part: str, attribute_set: AttributeSet) -> list[Photo]:
    """Return the images of a file, folder or dataset.

    Args:
        source: an image file, a folder (searched with its subfolders, sorted by name), a folder of own pictures, or a
            registered dataset.
        part: "query" or "gallery" of a dataset.
        attribute_set: the M attributes; empty for a model without an interpreter.

    Raises:
        DataError: the folder is empty, or the dataset is not found.
        ConfigError: there is neither a file nor a dataset with this name.
    """
    if os.path.isfile(source):
        return [_unknown(source, attribute_set)]
    if is_own_dataset(source):
        source = os.path.abspath(source)
    elif os.path.isdir(source):
        return [_unknown(path, attribute_set) for path in pictures_below(source)]
    dataset, pictures = read_dataset(source, part)
    attributes = _attributes(dataset, list(getattr(dataset, part)), attribute_set)
    return [
        Photo(p.path, p.pid, p.camid, tuple(row), people=p.people)
        for p, row in zip(pictures, attributes, strict=True)
    ]


def _unknown(path: str, attribute_set: AttributeSet) -> Photo:
    return Photo(path, None, None, (UNKNOWN,) * len(attribute_set))


def _attributes(dataset: Any, items: list[Any], attribute_set: AttributeSet) -> list[list[int]]:
    """Return the labels; if the dataset's attribute file is missing or cannot be used, warn, and all are unknown."""
    if not len(attribute_set):
        return [[] for _ in items]
    try:
        return item_attributes(dataset, items, attribute_set).tolist()
    except DataError as error:
        logger.warning("%s; all attributes count as unknown", error)
        return [[UNKNOWN] * len(attribute_set)] * len(items)
