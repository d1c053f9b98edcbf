"""Mean attention for each attribute over images with the attribute and over images without it (fig. 6).

| letter | meaning                             |
| ------ | ----------------------------------- |
| M      | number of attributes                |
| H, W   | size of the model's input image        |
| h, w   | size of attention                   |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from .averages import AverageMap, AverageMaps
from .explainer import Explainer
from .sources import Photo

_BATCH = 32


def average_attention(explainer: Explainer, photos: Sequence[Photo]) -> list[AverageMaps]:
    """Return the mean maps of all M attributes; each leaves out images whose label of that attribute is unknown.

    Raises:
        DataError: an image cannot be read; the message names it.
    """
    attributes = explainer.model.attribute_set.attributes
    labels = torch.tensor([photo.attributes for photo in photos])
    sums: dict[int, list[torch.Tensor]] = {}
    batches = range(0, len(photos), _BATCH)
    for start in tqdm(batches, desc="mean attention", unit="batch", disable=None):
        rows = slice(start, start + _BATCH)
        images = explainer.load([photo.path for photo in photos[rows]])
        attention = explainer.encode(images).attention
        for value in (0, 1):
            has = (labels[rows] == value).float()  # (N, M)
            parts = [
                torch.einsum("nk,nkhw->khw", has, attention).double(),
                torch.einsum("nk,nchw->kchw", has, images).double(),
            ]
            sums[value] = [a + b for a, b in zip(sums[value], parts, strict=True)] if value in sums else parts
    counts = {value: (labels == value).sum(dim=0).tolist() for value in (0, 1)}

    def side(k: int, value: int) -> AverageMap:
        words, number = attributes[k].values[value], counts[value][k]
        if not number:
            return AverageMap(words, 0)
        attention, image = (total[k] / number for total in sums[value])
        pixels = image.permute(1, 2, 0).round().clamp(0, 255).numpy().astype(np.uint8)
        return AverageMap(words, number, pixels, attention.float().numpy())

    return [
        AverageMaps(attribute.name, attribute.topic, side(k, 1), side(k, 0))
        for k, attribute in enumerate(attributes)
    ]
