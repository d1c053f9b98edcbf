"""Images with the attributes of their identities, through the host's loaders and samplers.

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

from fastreid_projects.contract import Source
from fastreid_projects.data.attributes import (
    DEMO,
    DUKEMTMC,
    MARKET1501,
    UNKNOWN,
    AttributeSet,
    read_attribute_file,
)
from fastreid_projects.errors import ConfigError, DataError

_KEY = "MODEL.AMD.ATTRIBUTES"
# Registered dataset -> its attributes.
DATASET_ATTRIBUTES: dict[str, AttributeSet] = {
    "Market1501": MARKET1501,
    "DukeMTMC": DUKEMTMC,
    "DemoReID": DEMO,
    "DemoReIDB": DEMO,
    "DemoReIDMisaligned": DEMO,
}


def attribute_set_of(dataset_name: str) -> AttributeSet | None:
    """The attributes of a registered dataset, or None where it has none."""
    return DATASET_ATTRIBUTES.get(dataset_name)


def attribute_file(dataset: Any, attribute_set: AttributeSet) -> Path:
    """Where a dataset's attribute file lies: beside its image folders, or in ``attribute/`` there.

    Raises:
        DataError: it is at neither place.
    """
    folder = Path(dataset.train_dir).parent
    places = [folder / attribute_set.file_name, folder / "attribute" / attribute_set.file_name]
    for place in places:
        if place.is_file():
            return place
    raise DataError(
        f"the attribute file {places[0]} does not exist; get {attribute_set.file_name} (Lin et al. 2019) and put it "
        "beside the image folders"
    )


def item_attributes(
    dataset: Any, items: Sequence[tuple[Any, ...]], attribute_set: AttributeSet
) -> np.ndarray:
    """Attributes of a host dataset's items, in the order of ``attribute_set``.

    Attributes that the dataset's own set does not have are unknown, by name; so is everything of a dataset without
    attributes.

    Args:
        dataset: a host dataset object.
        items: (path, pid, camid) of its train, query or gallery.
        attribute_set: the M attributes wanted.

    Returns:
        int8 (len(items), M) of 0, 1 or -1.
    """
    own = attribute_set_of(type(dataset).__name__)
    columns = np.full((len(items), len(attribute_set)), UNKNOWN, dtype=np.int8)
    if own is None:
        return columns
    rows = read_attribute_file(attribute_file(dataset, own), own).matrix(item[1] for item in items)
    for column, name in enumerate(attribute_set.names):
        if name in own.names:
            columns[:, column] = rows[:, own.index(name)]
    return columns


def with_attributes(
    sources: Sequence[Source], transform: Any, *, attribute_set: AttributeSet, is_train: bool
) -> AttributeDataset:
    """Return the sources' images with the attributes of their identities, as a dataset for the host's loaders.

    Raises:
        ConfigError, DataError: see :func:`check_some_complete`, in training.
    """
    attributes = [item_attributes(source.dataset, source.items, attribute_set) for source in sources]
    if is_train:
        check_some_complete(attributes, [source.name for source in sources], attribute_set)
    items = [item for source in sources for item in source.items]
    return AttributeDataset(items, np.concatenate(attributes), transform, relabel=is_train)


def check_some_complete(
    attributes: Sequence[np.ndarray], names: Sequence[str], attribute_set: AttributeSet
) -> None:
    """See that every training dataset has something to learn from: an image with all M attributes.

    Args:
        attributes: int8 (images, M) of each dataset.
        names: the datasets' names.
        attribute_set: the M attributes.

    Raises:
        ConfigError: a dataset's own attributes are not all of the set's.
        DataError: none of a dataset's identities has attributes.
    """
    for rows, name in zip(attributes, names, strict=True):
        if (rows != UNKNOWN).all(axis=1).any():
            continue
        own = attribute_set_of(name)
        _check_has_all(own, name, names, attribute_set)
        file_name = (own or attribute_set).file_name
        raise DataError(
            f"the identities of {name} have no attributes in {file_name}: is it another dataset's file? Its field "
            "image_index has to name the identities of the images"
        )


def _check_has_all(own: AttributeSet | None, name: str, names: Sequence[str], wanted: AttributeSet) -> None:
    """See that a dataset's own set has all attributes of another."""
    missing = [attribute for attribute in wanted.names if own is None or attribute not in own.names]
    if not missing:
        return
    way_out = f"leave {name} out of DATASETS.NAMES"
    if own is not None and len(names) == 1:
        way_out = f"set {_KEY} to {own.name}"
    raise ConfigError(
        f"{_KEY} asks for the attributes of {wanted.name} (if it is empty, those of the first of DATASETS.NAMES), but "
        f"the training set {name} lacks {len(missing)} of the {len(wanted)} ({', '.join(missing)}), so that none of "
        f"its images counts in a loss on attributes; {way_out}"
    )


class AttributeDataset(CommDataset):
    """The host's dataset with one key more: ``attributes``, int8 (M,) of 0, 1 or -1 (unknown).

    Args:
        items: (path, pid, camid).
        attributes: int8 (len(items), M).
        transform: the host's transform list.
        relabel: number identities and cameras from 0, as in training.
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
        """The host's item with ``attributes``."""
        item = super().__getitem__(index)
        item["attributes"] = self.attributes[index]
        return item
