"""Query and gallery of datasets that draw them at random, such as VehicleID: one gallery image for each identity.

Liu et al. 2016 average over ten draws. A draw depends only on its seed and the names of the images, not on the order of
a list, the process or a global generator.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from fastreid_projects.contract import DrawsGallery


def draw_gallery(items: Sequence[Any], seed: int) -> tuple[list[int], list[int]]:
    """Draw one image of each identity for the gallery; the others are queries.

    Args:
        items: (path, identity, ...) of all test images.
        seed: the seed of the draw.

    Returns:
        Indices of the queries and of the gallery, each in the order of the paths.

    Example:
        >>> draw_gallery([("a", 7), ("b", 7), ("c", 8)], seed=0)
        ([0], [1, 2])
    """
    order = sorted(range(len(items)), key=lambda index: str(items[index][0]))
    shuffled = list(order)
    random.Random(seed).shuffle(shuffled)
    gallery: dict[Any, int] = {}
    for index in shuffled:
        gallery.setdefault(items[index][1], index)
    chosen = set(gallery.values())
    return [i for i in order if i not in chosen], [i for i in order if i in chosen]


def draws(cfg: Any, dataset: Any, items: Sequence[Any]) -> list[tuple[list[int], list[int]]]:
    """Return the splits over which an evaluation is averaged; [] if only the current split counts.

    Args:
        cfg: the config, with DATASETS.SPLIT_SEED and SPLIT_DRAWS.
        dataset: the class of the dataset.
        items: (path, identity, ...) of queries and gallery.

    Returns:
        The indices of queries and gallery for each draw; the seeds are SPLIT_SEED, SPLIT_SEED + 1, ...
    """
    number = cfg.DATASETS.SPLIT_DRAWS
    if number == 1 or not draws_gallery(dataset):
        return []
    return [draw_gallery(items, cfg.DATASETS.SPLIT_SEED + draw) for draw in range(number)]


def draws_gallery(dataset: Any) -> bool:
    """Return whether a dataset class draws its gallery at random and therefore takes ``split_seed``."""
    return isinstance(dataset, DrawsGallery) and dataset.draws_gallery
