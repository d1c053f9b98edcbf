"""Check before training that every attribute can be learned.

| letter | meaning                 |
| ------ | ----------------------- |
| M      | the wanted attributes   |
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastreid_projects.data.attributes import UNKNOWN, AttributeSet
from fastreid_projects.data.own.columns import OwnAttributes
from fastreid_projects.data.own.labels import IDENTITIES
from fastreid_projects.data.own.words import HELP
from fastreid_projects.errors import ConfigError, DataError

logger = logging.getLogger("fastreid.projects.amd")

_KEY = "MODEL.AMD.ATTRIBUTES"


class TrainingLabels(NamedTuple):
    """The labels of the images of a training set.

    Attributes:
        name: name of the dataset.
        own: the dataset's own attributes, or None.
        rows: int8 (images, M) of 0, 1 or -1.
    """

    name: str
    own: AttributeSet | None
    rows: np.ndarray

    def lacks(self, wanted: AttributeSet) -> list[str]:
        """Return the names of the wanted attributes that the dataset's own set does not have."""
        return [name for name in wanted.names if self.own is None or name not in self.own.names]


def check_learnable(sets: Sequence[TrainingLabels], wanted: AttributeSet) -> None:
    """Check that every training set has labels, and that every attribute is labelled in some image.

    Warn of an attribute with the same value wherever it is known, as no pair differs in it.

    Args:
        sets: the training sets.
        wanted: the M attributes.

    Raises:
        ConfigError: a dataset has none of the attributes, or an attribute is missing in every dataset.
        DataError: no attribute is known for a dataset's images, or an attribute is not known for any image.
    """
    for labels in sets:
        if (labels.rows == UNKNOWN).all():
            raise _nothing_known(labels, wanted, alone=len(sets) == 1)
    every = np.concatenate([labels.rows for labels in sets])
    never = [name for k, name in enumerate(wanted.names) if (every[:, k] == UNKNOWN).all()]
    if never:
        raise _never_known(sets, wanted, never)
    for k, attribute in enumerate(wanted.attributes):
        values = set(every[:, k].tolist()) - {UNKNOWN}
        if len(values) == 1:
            logger.warning(
                "the attribute %s is '%s' in all training images for which it is known, so that no pair differs in it "
                "and it is not learned",
                attribute.name,
                attribute.values[values.pop()],
            )


def _nothing_known(labels: TrainingLabels, wanted: AttributeSet, *, alone: bool) -> ConfigError | DataError:
    """Return the error for a training set without any known attribute."""
    name, own = labels.name, labels.own
    ours = isinstance(wanted, OwnAttributes) and wanted.people == name
    if isinstance(wanted, OwnAttributes) and not ours and not isinstance(own, OwnAttributes):
        return _of_others(name, wanted)
    if not ours and len(labels.lacks(wanted)) == len(wanted):
        return _lacks(labels, wanted, "none of its images counts for a loss on attributes", alone=alone)
    if ours or isinstance(own, OwnAttributes):
        return DataError(
            f"no attribute of {wanted.name} is known for any training image of {name}; fill in its table ({HELP})"
        )
    return DataError(
        f"the identities of {name} have no attributes in {(own or wanted).file_name}: is it another dataset's file? "
        "Its field image_index has to name the identities of the images"
    )


def _of_others(name: str, wanted: OwnAttributes) -> DataError:
    """Return the error for own attributes that describe other people than those of a training set."""
    of = f"is of the people of {wanted.people}, and " if wanted.people else ""
    return DataError(
        f"{wanted.name} {of}says nothing of the identities of {name}: write 'people: {name}' into it, with their "
        f"{IDENTITIES} beside it ({HELP}), or leave {name} out of DATASETS.NAMES"
    )


def _never_known(
    sets: Sequence[TrainingLabels], wanted: AttributeSet, never: Sequence[str]
) -> ConfigError | DataError:
    """Return the error for attributes that are not known for any training image."""
    first = sets[0]
    if (
        isinstance(wanted, OwnAttributes)
        and not isinstance(first.own, OwnAttributes)
        and first.name != wanted.people
    ):
        return _of_others(first.name, wanted)
    for labels in sets:
        if set(never) <= set(labels.lacks(wanted)):
            return _lacks(labels, wanted, "they cannot be learned", alone=len(sets) == 1)
    several = len(never) > 1
    return DataError(
        f"{', '.join(never)} of {wanted.name} {'are' if several else 'is'} not known for any training image; fill in "
        f"the column{'s' if several else ''}, or remove {'them' if several else 'it'} from the file"
    )


def _lacks(labels: TrainingLabels, wanted: AttributeSet, so: str, *, alone: bool) -> ConfigError:
    """Return the error for a training set whose own attributes are not the wanted ones."""
    missing = labels.lacks(wanted)
    way_out = f"leave {labels.name} out of DATASETS.NAMES"
    if labels.own is not None and alone:
        way_out = f"set {_KEY} to {labels.own.name}"
    return ConfigError(
        f"{_KEY} asks for the attributes of {wanted.name} (if it is empty, those of the first of DATASETS.NAMES), but "
        f"the training set {labels.name} lacks {len(missing)} of the {len(wanted)} ({', '.join(missing)}), so that "
        f"{so}; {way_out}"
    )
