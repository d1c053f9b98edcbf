"""Average precision of ranking the attributes of many pairs by their distances.

| letter | meaning                                  |
| ------ | ---------------------------------------- |
| M      | attributes                               |
| P      | pairs of images                          |
| B      | bytes that hold M bits                   |

Two ways that give the same. On a CPU the attributes of each pair are sorted as integers, a distance's bits with the
mark "exclusive" below them; what is left of a pair is a word of M marks in the order of the distances, and its
average precision is read off small tables, byte by byte. Pairs with equal distances, rare among real ones, and other
devices compare every two attributes and count.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]


def attribute_average_precision(distances: Tensor, exclusive: Tensor) -> tuple[Tensor, Tensor]:
    """Average precision of ranking the attributes of each pair by their distances.

    For X-mAP_e the order is descending and the exclusive attributes are the hits, for X-mAP_c ascending with the
    common ones. The precision at a hit counts all attributes that are ranked at least as high, equal distances
    included, so that the result does not depend on how a sort breaks ties.

    Args:
        distances: d^k, (M, P).
        exclusive: (M, P) bool, True where the pair differs on the attribute.

    Returns:
        Two tensors (P,) in [0, 1]: AP_e (0 where no attribute is exclusive) and AP_c (0 where none is common).
    """
    sortable = distances.device.type == "cpu" and distances.dtype == torch.float32 and distances.numel() > 0
    if not sortable or not bool(distances.min() >= 0):
        return _by_counting(distances, exclusive)
    ap_e, ap_c = sorted_average_precision(distances.numpy(), exclusive.numpy())
    return torch.from_numpy(ap_e), torch.from_numpy(ap_c)


def sorted_average_precision(distances: Floats, exclusive: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """:func:`attribute_average_precision` of numpy arrays, on the thread that calls it.

    Args:
        distances: (M, P), none below 0.
        exclusive: (M, P).
    """
    ap_e, ap_c, tied = _by_sorting(distances, exclusive)
    rows = np.flatnonzero(tied)
    if len(rows):
        parts = _by_counting(torch.from_numpy(distances[:, rows]), torch.from_numpy(exclusive[:, rows]))
        ap_e[rows], ap_c[rows] = (part.numpy() for part in parts)
    return ap_e, ap_c


def _by_sorting(
    distances: Floats, exclusive: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """AP_e, AP_c and which pairs have equal distances, where both are not to be trusted.

    Args:
        distances: (M, P), none below 0: their bits order like integers, and the sign's bit is free for the mark.
        exclusive: (M, P).
    """
    m, p = distances.shape
    keys = np.empty((p, m), dtype=np.uint32)
    np.left_shift(distances.view(np.uint32).T, 1, out=keys)
    keys |= exclusive.T.view(np.uint8)
    keys.sort(axis=1)
    tied = np.asarray(((keys[:, 1:] ^ keys[:, :-1]) <= 1).any(axis=1))
    marks = np.packbits((keys & 1).astype(np.uint8), axis=1, bitorder="little")
    return *_read_tables(marks, m), tied


def _read_tables(marks: npt.NDArray[np.uint8], m: int) -> tuple[Floats, Floats]:
    """AP_e and AP_c of words of M marks (P, B), the nearest attribute first."""
    table = _tables(m)
    p, size = marks.shape
    columns = [marks[:, b].astype(np.intp) for b in range(size)]
    sums = np.zeros((2, p), dtype=np.float32)
    found = np.zeros((2, p), dtype=np.float32)
    for kind, order in (
        (0, reversed(range(size))),
        (1, range(size)),
    ):  # exclusive from afar, common from near
        for b in order:
            inside, weight, hits = table[kind][b]
            sums[kind] += inside[columns[b]] + found[kind] * weight[columns[b]]
            found[kind] += hits[columns[b]]
    ap = sums / np.maximum(found, 1)
    return ap[0], ap[1]


class _ByteTable(NamedTuple):
    """What a byte of marks adds to the sum of precisions, each entry by its 256 values.

    Attributes:
        inside: with no hit before it.
        weight: more for each hit before it.
        hits: how many hits are in it.
    """

    inside: Floats
    weight: Floats
    hits: Floats


@lru_cache(maxsize=8)
def _tables(m: int) -> tuple[list[_ByteTable], list[_ByteTable]]:
    """Tables of each byte for exclusive attributes, the farthest ranked first, and common ones, the nearest first."""
    size = -(-m // 8)
    position = np.arange(8 * size)
    real = position < m
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(bool)
    exclusive, common = [], []
    for b in range(size):
        here = slice(8 * b, 8 * b + 8)
        hits = bits & real[here]
        exclusive.append(_byte_table(hits[:, ::-1], (m - position[here])[::-1]))
        common.append(_byte_table(~bits & real[here], position[here] + 1))
    return exclusive, common


def _byte_table(hits: npt.NDArray[np.bool_], rank: npt.NDArray[np.int_]) -> _ByteTable:
    weight = np.where(hits, 1.0 / np.maximum(rank, 1), 0.0)
    inside = (np.cumsum(hits, axis=1) * weight).sum(axis=1)
    return _ByteTable(*(x.astype(np.float32) for x in (inside, weight.sum(axis=1), hits.sum(axis=1))))


def _by_counting(distances: Tensor, exclusive: Tensor) -> tuple[Tensor, Tensor]:
    """AP_e and AP_c on any device and with ties; it holds M x M x P bytes."""
    at_least = distances.unsqueeze(0) >= distances.unsqueeze(1)  # [k, j]: is j at least as far as k?
    at_most = at_least.transpose(0, 1)
    ap_e = _mean_precision(at_least, exclusive)
    ap_c = _mean_precision(at_most, ~exclusive)
    return ap_e, ap_c


def known_average_precision(distances: Tensor, exclusive: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Average precision of ranking the known attributes of each pair alone, as if it had no others.

    Args:
        distances: d^k, (M, P).
        exclusive: (M, P) bool, a part of ``known``.
        known: (M, P) bool; what is known and not exclusive is common.

    Returns:
        See :func:`attribute_average_precision`. It holds M x M x P bytes.
    """
    at_least = distances.unsqueeze(0) >= distances.unsqueeze(1)
    at_most = at_least.transpose(0, 1)
    return _mean_precision(at_least & known, exclusive), _mean_precision(at_most & known, known & ~exclusive)


def _mean_precision(ranked_above: Tensor, hits: Tensor) -> Tensor:
    precision = (ranked_above & hits).sum(dim=1).float() / ranked_above.sum(dim=1).clamp(min=1)
    return (precision * hits).sum(dim=0) / hits.sum(dim=0).clamp(min=1)


def expected_random_ap(num_hits: Tensor, m: int) -> Tensor:
    """Expected average precision of a random order of m items, ``num_hits`` of which are hits.

    E[AP] = (1/m) (H_m + (R - 1) / (m - 1) (m - H_m)), H_m the m-th harmonic number, R the number of hits.

    Args:
        num_hits: R, any shape, 1..m.
        m: number of items.

    Returns:
        float32 of num_hits' shape, in (0, 1].
    """
    harmonic = sum(1.0 / i for i in range(1, m + 1))
    slope = (m - harmonic) / max(m - 1, 1)
    return (harmonic + (num_hits.float() - 1) * slope) / m
