"""Images with their attributes, for the host's loaders and samplers.

| letter | meaning              |
| ------ | -------------------- |
| M      | number of attributes |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastreid.data.build import CommDataset
from fastreid.data.datasets import DATASET_REGISTRY

from fastreid_projects.contract import HasAttributes, Source
from fastreid_projects.data.attributes import (
    DEMO,
    DUKEMTMC,
    MARKET1501,
    UNKNOWN,
    AttributeSet,
    in_order_of,
    read_attribute_file,
)
from fastreid_projects.data.byte_transforms import as_bytes
from fastreid_projects.data.datasets import dataset_root, people_of
from fastreid_projects.data.own.columns import OwnAttributes
from fastreid_projects.data.own.labels import label_identities
from fastreid_projects.errors import DataError

from .learnable import TrainingLabels, check_learnable

# Registered dataset -> its published attributes.
DATASET_ATTRIBUTES: dict[str, AttributeSet] = {
    "Market1501": MARKET1501,
    "DukeMTMC": DUKEMTMC,
    "DemoReID": DEMO,
    "DemoReIDB": DEMO,
    "DemoReIDMisaligned": DEMO,
}


def attribute_set_of(dataset_name: str) -> AttributeSet | None:
    """Return the attributes of a registered dataset or of a folder of own pictures, or None where it has none.

    Raises:
        ConfigError: no dataset has this name.
        DataError: its ``attributes.yaml`` cannot be used.
    """
    if dataset_name in DATASET_ATTRIBUTES:
        return DATASET_ATTRIBUTES[dataset_name]
    dataset: Any = DATASET_REGISTRY.get(dataset_name)
    if not isinstance(dataset, HasAttributes):
        return None
    found: AttributeSet | None = dataset.attribute_set_below(dataset_root())
    return found


def attribute_file(dataset: Any, attribute_set: AttributeSet) -> Path:
    """Return the path of a dataset's attribute file: beside its image folders, or in ``attribute/`` there.

    Raises:
        DataError: the file is in neither place.
    """
    places = _places(dataset, attribute_set)
    for place in places:
        if place.is_file():
            return place
    raise DataError(
        f"the attribute file {places[0]} does not exist; get {attribute_set.file_name} (Lin et al. 2019) and put it "
        "beside the image folders"
    )


def _places(dataset: Any, attribute_set: AttributeSet) -> list[Path]:
    folder = Path(dataset.train_dir).parent
    return [folder / attribute_set.file_name, folder / "attribute" / attribute_set.file_name]


def item_attributes(
    dataset: Any, items: Sequence[tuple[Any, ...]], attribute_set: AttributeSet
) -> np.ndarray:
    """Return the attributes of a host dataset's items, in the order of ``attribute_set``.

    Attributes whose names the dataset's own set does not have are unknown, as are all of a dataset without attributes.

    Args:
        dataset: a host dataset object.
        items: (path, pid, camid) of its train, query or gallery.
        attribute_set: the M attributes wanted.

    Returns:
        int8 (len(items), M) of 0, 1 or -1.

    Raises:
        DataError: the tables or words cannot be used.
    """
    found = _labels(dataset, items, attribute_set)
    if found is None:
        return np.full((len(items), len(attribute_set)), UNKNOWN, dtype=np.int8)
    own, rows = found
    return in_order_of(rows, own, attribute_set)


def _labels(
    dataset: Any, items: Sequence[tuple[Any, ...]], wanted: AttributeSet
) -> tuple[AttributeSet, np.ndarray] | None:
    """Return the known attributes of a dataset's people and their values; None if there are none."""
    name = type(dataset).__name__
    pids = [item[1] for item in items]
    if isinstance(wanted, OwnAttributes) and wanted.people and people_of(wanted.people) == people_of(name):
        return wanted, label_identities(wanted, pids)
    if isinstance(dataset, HasAttributes):
        found: tuple[AttributeSet, np.ndarray] | None = dataset.attribute_labels(items)
        return found
    own = DATASET_ATTRIBUTES.get(name)
    if own is None:
        return None
    if isinstance(wanted, OwnAttributes) and not any(place.is_file() for place in _places(dataset, own)):
        return None  # a published set that nobody asked for may lack its file
    return own, read_attribute_file(attribute_file(dataset, own), own).matrix(pids)


def with_attributes(
    sources: Sequence[Source], transform: Any, *, attribute_set: AttributeSet, is_train: bool
) -> AttributeDataset:
    """Return the sources' images with their attributes, as a dataset for the host's loaders.

    Raises:
        ConfigError, DataError: see :func:`~fastreid_projects.amd.data.learnable.check_learnable`, in training.
    """
    attributes = [item_attributes(source.dataset, source.items, attribute_set) for source in sources]
    if is_train:
        check_learnable(
            [
                TrainingLabels(source.name, attribute_set_of(source.name), rows)
                for source, rows in zip(sources, attributes, strict=True)
            ],
            attribute_set,
        )
    items = [item for source in sources for item in source.items]
    images = as_bytes(transform, exact=not is_train)
    return AttributeDataset(items, np.concatenate(attributes), images, relabel=is_train)


class AttributeDataset(CommDataset):
    """The host's dataset whose items also have ``attributes``, int8 (M,) of 0, 1 or -1 (unknown).

    Args:
        items: (path, pid, camid).
        attributes: int8 (len(items), M).
        transform: the host's transform list.
        relabel: whether to number identities and cameras from 0, as in training.
    """

    def __init__(
        self,
        items: Sequence[tuple[Any, ...]],
        attributes: np.ndarray,
        transform: Callable[[Any], torch.Tensor] | None = None,
        relabel: bool = True,
    ) -> None:
        super().__init__(items, transform, relabel)
        self.attributes = torch.from_numpy(np.ascontiguousarray(attributes))

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the host's item with ``attributes``."""
        item = super().__getitem__(index)
        item["attributes"] = self.attributes[index]
        return item
