"""Mean maps of where the contribution of each attribute arises, over pairs in which only one image shows it.

| letter | meaning                                 |
| ------ | --------------------------------------- |
| M      | number of attributes                    |
| H, W   | size of the model's input image         |
| h, w   | size of a map                           |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fastreid_projects.visualization.contributions.maps import PairMaps, pair_maps

from .averages import AverageMap, AverageMaps
from .explainer import Explainer
from .pairs import Encoded
from .sources import Photo

_BATCH = 32


class _Sums:
    """Sums over the images with value 0 or 1 of an attribute, each compared with an image of the other value."""

    def __init__(self, attributes: int, images: tuple[int, ...], maps: tuple[int, ...]) -> None:
        self.counts = torch.zeros(2, attributes, dtype=torch.int64)
        self.images = torch.zeros(2, attributes, *images, dtype=torch.float64)
        self.maps = torch.zeros(2, attributes, *maps, dtype=torch.float64)

    def add(self, labels: Tensor, others: Tensor, image: Tensor, maps: Tensor) -> None:
        """Add an image (3, H, W) with its labels (M,), those of its partner image, and its maps (M, h, w)."""
        exclusive = (labels >= 0) & (others >= 0) & (labels != others)
        for value in (0, 1):
            chosen = exclusive & (labels == value)
            self.counts[value] += chosen
            self.images[value, chosen] += image
            self.maps[value, chosen] += maps[chosen]


def average_contributions(explainer: Explainer, photos: Sequence[Photo], seed: int = 0) -> list[AverageMaps]:
    """Return the mean maps of all M attributes over random pairs in which only one image shows the attribute.

    Args:
        explainer: splits d^k over the cells.
        photos: the images; each attribute leaves out those whose label is unknown.
        seed: seed of the random pairs.

    Raises:
        DataError: an image cannot be read; the message names it.
    """
    attributes = explainer.attribute_set.attributes
    labels = torch.tensor([photo.attributes for photo in photos])
    order = np.random.default_rng(seed).permutation(len(photos)).tolist()
    sums: _Sums | None = None
    for start in tqdm(range(0, len(order), _BATCH), desc="mean maps", unit="batch", disable=None):
        part = order[start : start + _BATCH]
        images = explainer.load([photos[i].path for i in part])
        encoded = explainer.encode(images, looks=True)
        for i in range(len(part)):
            j = (i + 1) % len(part)
            found = _split(encoded, i, j)
            if sums is None:
                sums = _Sums(len(attributes), tuple(images.shape[1:]), tuple(found.first.shape[1:]))
            sums.add(labels[part[i]], labels[part[j]], images[i], found.first.cpu())
            sums.add(labels[part[j]], labels[part[i]], images[j], found.second.cpu())

    def side(k: int, value: int) -> AverageMap:
        words = attributes[k].values[value]
        number = 0 if sums is None else int(sums.counts[value, k])
        if sums is None or not number:
            return AverageMap(words, 0)
        pixels = (sums.images[value, k] / number).permute(1, 2, 0).round().clamp(0, 255)
        shares = (sums.maps[value, k] / number).float().numpy()
        return AverageMap(words, number, pixels.numpy().astype(np.uint8), shares)

    return [
        AverageMaps(attribute.name, attribute.topic, side(k, 1), side(k, 0), "contributions")
        for k, attribute in enumerate(attributes)
    ]


def _split(encoded: Encoded, i: int, j: int) -> PairMaps:
    a, b = encoded.looks[i], encoded.looks[j]
    return pair_maps(encoded.features[i], encoded.features[j], a.attributes, b.attributes)
