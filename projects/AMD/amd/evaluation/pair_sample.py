"""Random pairs of images of a test set: of one person, and of different persons.

| letter | meaning                       |
| ------ | ----------------------------- |
| N      | images                        |
| P      | pairs                         |
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
# The maximum number of images of a person that are paired with each other; if there are more, this many are drawn.
_MOST_OF_ONE = 150
_ROUNDS = 20


def different_pairs(people: Ints, number: int, rng: np.random.Generator) -> Ints:
    """Draw pairs of different persons.

    Args:
        people: (N,) the person in each image.
        number: number of pairs; fewer are drawn if nearly all images show one person.
        rng: the random generator.

    Returns:
        (P, 2) indices into ``people``; P is 0 if all images show one person.
    """
    if len(np.unique(people)) < 2:
        return np.empty((0, 2), np.int64)
    found: list[Ints] = []
    for _ in range(_ROUNDS):
        pairs = rng.integers(len(people), size=(2 * number, 2))
        found.append(pairs[people[pairs[:, 0]] != people[pairs[:, 1]]])
        if sum(map(len, found)) >= number:
            break
    return np.concatenate(found)[:number]


def same_pairs(people: Ints, number: int, rng: np.random.Generator) -> Ints:
    """Draw pairs of two images of one person, each at most once.

    Args:
        people: (N,) the person in each image.
        number: maximum number of pairs.
        rng: the random generator.

    Returns:
        (P, 2) indices into ``people``, the smaller one first.
    """
    order = np.argsort(people, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(people[order])) + 1)
    found = [np.empty((0, 2), np.int64)]
    for group in groups:
        some = group if len(group) <= _MOST_OF_ONE else rng.permutation(group)[:_MOST_OF_ONE]
        i, j = np.triu_indices(len(some), k=1)
        found.append(np.sort(np.stack((some[i], some[j]), axis=1), axis=1))
    pairs = np.concatenate(found)
    return pairs if len(pairs) <= number else pairs[np.sort(rng.permutation(len(pairs))[:number])]
