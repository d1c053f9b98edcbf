"""Count how often each own attribute occurs and is unknown, and find those that never change.

| letter | meaning              |
| ------ | -------------------- |
| M      | number of attributes |
| N      | pictures             |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from fastreid_projects.data.attributes import UNKNOWN, AttributeSet

_CODES = (1, 0, UNKNOWN)


class Counts(NamedTuple):
    """Numbers of persons and pictures of a part with value 1, value 0 and an unknown value, each int64 (3, M).

    Attributes:
        persons: a person with pictures of both values counts for both, and as unknown if all its pictures are.
        pictures: each picture counts once.
    """

    persons: NDArray[np.int64]
    pictures: NDArray[np.int64]

    def constant(self, k: int) -> int | None:
        """Return the only value of an attribute in the part; None if it has both values, or is not known."""
        there = [code for code, count in zip(_CODES[:2], self.pictures[:2, k], strict=True) if count]
        return there[0] if len(there) == 1 else None

    def known(self, k: int) -> bool:
        """Return whether an attribute is known for any picture."""
        return bool(self.pictures[:2, k].any())


def count_attributes(labels: NDArray[np.int8], pids: Sequence[object]) -> Counts:
    """Count labels (N, M) of 0, 1 or -1, and the persons (N,) that have them."""
    numbers = np.unique([str(pid) for pid in pids], return_inverse=True)[1].reshape(-1)
    by_person = np.zeros((3, int(numbers.max(initial=-1)) + 1, labels.shape[1]), dtype=bool)
    for place, code in enumerate(_CODES):
        np.logical_or.at(by_person[place], numbers, labels == code)
    by_person[2] &= ~by_person[:2].any(axis=0)
    return Counts(by_person.sum(axis=1), np.stack([(labels == code).sum(axis=0) for code in _CODES]))


def counts_table(attribute_set: AttributeSet, parts: Mapping[str, Counts]) -> str:
    """Return a table of all attributes: persons and pictures of each part, ``value 1 / value 0 / unknown``."""
    heads = [f"{name} {what}" for name in parts for what in ("persons", "pictures")]
    rows = []
    for k, attribute in enumerate(attribute_set.attributes):
        counts = [" / ".join(map(str, table[:, k])) for part in parts.values() for table in part]
        rows.append(
            [attribute.name, attribute.group, " / ".join((*attribute.values[::-1], "unknown")), *counts]
        )
    return tabulate(
        rows, headers=["attribute", "group", "counted", *heads], tablefmt="simple", disable_numparse=True
    )


def counts_remarks(attribute_set: AttributeSet, parts: Mapping[str, Counts]) -> Iterator[str]:
    """Yield a sentence for each attribute that is not known for any picture of a part, or has only one value there."""
    for name, part in parts.items():
        if not part.pictures.any():
            continue
        for k, attribute in enumerate(attribute_set.attributes):
            value = part.constant(k)
            if not part.known(k):
                yield f"the attribute {attribute.name} is not known for any picture of {name}"
            elif value is not None:
                yield (
                    f"the attribute {attribute.name} is '{attribute.values[value]}' wherever it is known in {name}: "
                    "no pair differs in it"
                )
