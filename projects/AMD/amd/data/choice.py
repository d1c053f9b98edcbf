"""Choose an interpreter's attributes: published ones, those of a folder of own pictures, or those of an own file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastreid.data.datasets import DATASET_REGISTRY

from fastreid_projects.contract import HasAttributes
from fastreid_projects.data.attributes import ATTRIBUTE_SETS, AttributeSet
from fastreid_projects.data.own.columns import OwnAttributes
from fastreid_projects.data.own.words import HELP, WORDS, read_words
from fastreid_projects.errors import ConfigError, WeightsError
from fastreid_projects.files import write_aside

from .attribute_dataset import attribute_set_of

_KEY = "MODEL.AMD.ATTRIBUTES"
COPY = "interpreter_attributes.yaml"


def resolve_attribute_set(cfg: Any) -> AttributeSet:
    """Return the attribute set that ``MODEL.AMD.ATTRIBUTES`` names, or else that of the first training dataset.

    An interpreter has a copy of own attributes beside its weights (:func:`save_attribute_words`), which says what its
    maps mean even if the file was changed later. The copy is used if the file is missing, or if no file is named.

    Raises:
        ConfigError: the name is unknown, or the dataset has no attributes.
        DataError: the ``attributes.yaml`` cannot be used.
        WeightsError: the weights belong to an interpreter with other attributes than those of the file.
    """
    name = cfg.MODEL.AMD.ATTRIBUTES
    if name in ATTRIBUTE_SETS:
        return ATTRIBUTE_SETS[name]
    copy = _copy_beside(cfg.MODEL.WEIGHTS)
    if name and os.path.isfile(name):
        return _checked(read_words(name), copy)
    if copy is not None:
        return copy
    if name:
        raise ConfigError(
            f"{_KEY} is '{name}'; known are {', '.join(ATTRIBUTE_SETS)}, and the path of your own {WORDS} "
            f"({HELP})"
        )
    dataset = cfg.DATASETS.NAMES[0]
    attribute_set = attribute_set_of(dataset)
    if attribute_set is None:
        raise ConfigError(_without_attributes(dataset))
    return attribute_set


def save_attribute_words(cfg: Any, attribute_set: AttributeSet) -> None:
    """Save own attributes in OUTPUT_DIR, so that the run still works after its folder was moved.

    For published attributes, remove the copy that an earlier run may have left there.
    """
    place = Path(cfg.OUTPUT_DIR) / COPY
    if isinstance(attribute_set, OwnAttributes):
        if not place.is_file() or place.read_text(encoding="utf-8-sig") != attribute_set.text:
            write_aside(place, attribute_set.text.encode())
    else:
        place.unlink(missing_ok=True)


def _copy_beside(weights: str) -> OwnAttributes | None:
    """Return the copy of the attributes that an interpreter was trained on; None if its run saved none."""
    place = Path(weights).parent / COPY
    return read_words(place) if weights and place.is_file() else None


def _checked(found: OwnAttributes, copy: OwnAttributes | None) -> OwnAttributes:
    """Check that the attributes of a file are those of the weights; their wording may have changed."""
    if copy is not None and copy.names != found.names:
        raise WeightsError(
            f"the attributes of {found.name} are {', '.join(found.names)}, but the weights beside {copy.name} were "
            f"trained on {', '.join(copy.names)}: name that file in {_KEY}, or train again"
        )
    return found


def _without_attributes(dataset: str) -> str:
    begins = f"DATASETS.NAMES begins with {dataset}, which has no attributes, but AMD needs some: "
    if isinstance(DATASET_REGISTRY.get(dataset), HasAttributes):
        return (
            f"{begins}put an {WORDS} with their words beside its labels.csv, whose columns hold them ({HELP}); "
            "'fastreid-projects explain' shows where a target's distances come from without any"
        )
    return (
        f"{begins}name a dataset with attributes, or let {_KEY} name your own {WORDS}, with a table of the "
        f"identities beside it ({HELP})"
    )
