"""Alignment of the features of the two tasks (Sec. 3.5) and of their parameters (Sec. 5.3.2).

| letter | meaning                                          |
| ------ | ------------------------------------------------ |
| N      | images in the batch                              |
| D      | size of a holistic feature h or g, K * C         |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Alignment = Callable[[Tensor, Tensor, Tensor], Tensor]
ALIGNMENTS: dict[str, Alignment] = {}


def _register(name: str) -> Callable[[Alignment], Alignment]:
    def add(function: Alignment) -> Alignment:
        ALIGNMENTS[name] = function
        return function

    return add


@_register("class")
def class_wise(main: Tensor, auxiliary: Tensor, labels: Tensor) -> Tensor:
    """Return L_CF (Eq. 8): the mean cosine distance between the two mean features of each identity in the batch.

    Args:
        main: h, (N, D).
        auxiliary: g, (N, D).
        labels: (N,).

    Returns:
        A scalar of 0..2.
    """
    same = (labels.unsqueeze(1) == labels.unsqueeze(0)).to(main.dtype)
    # Each image has its identity's distance, weighted by one over the identity's number of images. The sum of these
    # weights is the number of identities, without waiting for a GPU. A cosine does not depend on 1/A in Eq. 6 and 7.
    shares = 1 / same.sum(dim=1)
    return (_cosine_distance(same @ main, same @ auxiliary) * shares).sum() / shares.sum()


@_register("batch")
def batch_wise(main: Tensor, auxiliary: Tensor, labels: Tensor) -> Tensor:
    """Return the cosine distance between the two mean features of the whole batch (Sec. 5.3.3); see class_wise."""
    return _cosine_distance(main.mean(0, keepdim=True), auxiliary.mean(0, keepdim=True)).mean()


@_register("sample")
def sample_wise(main: Tensor, auxiliary: Tensor, labels: Tensor) -> Tensor:
    """Return L_SF (Eq. 9): the mean cosine distance between the two features of each image; see class_wise."""
    return _cosine_distance(main, auxiliary).mean()


def alignment_loss(name: str, main: Tensor, auxiliary: Tensor, labels: Tensor) -> Tensor:
    """Return one of ``ALIGNMENTS``, in float32 regardless of autocast; 0 with the graph kept for an empty batch."""
    with torch.autocast(main.device.type, enabled=False):
        main, auxiliary = main.float(), auxiliary.float()
        if not len(main):
            return (main.sum() + auxiliary.sum()) * 0
        return ALIGNMENTS[name](main, auxiliary, labels)


def _cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return Eq. 4 row by row; 1 without a gradient if a vector is zero, because its direction is undefined."""
    zero = ((a == 0).all(1) | (b == 0).all(1))[:, None]
    a, b = (torch.where(zero, x.detach(), x) for x in (a, b))
    return 1 - F.cosine_similarity(a, b, dim=1)


def soft_sharing_loss(pairs: Iterable[tuple[nn.Module, nn.Module]]) -> Tensor:
    """Return the squared L2 distance of the parameters of layers, summed over the pairs (Fig. 10)."""
    squares = [
        (a - b).float().square().sum()
        for first, second in pairs
        for a, b in zip(first.parameters(), second.parameters(), strict=True)
    ]
    return sum(squares, start=torch.zeros(()))
