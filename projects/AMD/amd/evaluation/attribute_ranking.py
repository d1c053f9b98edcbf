"""Average precision of ranking the attributes of many pairs by their distances.

| letter | meaning                                  |
| ------ | ---------------------------------------- |
| M      | attributes                               |
| P      | pairs of images                          |
| W      | words that hold M bits                   |

Two ways that give the same. On a CPU the attributes of each pair are sorted as integers, a distance's bits with the
mark "exclusive" below them; what is left of a pair are M marks in the order of the distances, and its average
precision is read off small tables, word by word. Pairs with equal distances, rare among real ones, and other devices
compare every two attributes and count.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]
# Marks of a word: its tables, of 2**13 entries, stay in a CPU's nearest cache.
_WORD = 13


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
    m = len(distances)
    # PyTorch transposes by blocks, unlike NumPy.
    rows = torch.from_numpy(distances).t().clone(memory_format=torch.contiguous_format)
    keys = rows.numpy().view(np.uint32)
    np.left_shift(keys, 1, out=keys)
    keys |= exclusive.T.view(np.uint8)
    keys.sort(axis=1)
    return *_read_tables(_words(keys), m), _tied(keys)


def _tied(keys: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Return which of the sorted rows (P, M) have equal distances."""
    p, m = keys.shape
    row = keys.reshape(-1)
    equal = np.flatnonzero((row[1:] ^ row[:-1]) <= 1)
    tied = np.zeros(p, dtype=bool)
    tied[equal[equal % m < m - 1] // m] = True  # not the last of a row and the first of the next
    return tied


def _words(keys: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint16]:
    """Return the marks of sorted rows (P, M) as words (W, P), the nearest attribute in the first bit."""
    p, m = keys.shape
    size = _word_size(m)
    marks = np.zeros((p, -(-m // size), 16), dtype=np.uint8)
    for w, start in enumerate(range(0, m, size)):
        part = keys[:, start : start + size]
        np.bitwise_and(part, 1, out=marks[:, w, : part.shape[1]], casting="unsafe")
    packed = np.packbits(marks.reshape(-1), bitorder="little").view("<u2")
    return np.ascontiguousarray(packed.reshape(p, -1).T)


def _word_size(m: int) -> int:
    """Return how many of M marks are in a word; in the last one fewer may be."""
    return -(-m // -(-m // _WORD))


def _read_tables(words: npt.NDArray[np.uint16], m: int) -> tuple[Floats, Floats]:
    """AP_e and AP_c of the words (W, P) of M marks."""
    exclusive, common = _tables(m)
    return _read(words[::-1], exclusive[::-1]), _read(words, common)  # from afar, and from near


def _read(words: npt.NDArray[np.uint16], tables: list[_WordTable]) -> Floats:
    """Average precision of words (W, P), the first ranked ahead of the second, by their tables."""
    sums = np.zeros(words.shape[1], dtype=np.float32)
    found = np.zeros(words.shape[1], dtype=np.float32)
    for word, table in zip(words, tables, strict=True):
        sums += table.inside[word]
        sums += found * table.weight[word]
        found += table.hits[word]
    sums /= np.maximum(found, 1)
    return sums


class _WordTable(NamedTuple):
    """What a word of marks adds to the sum of precisions, each entry by the word's value.

    Attributes:
        inside: with no hit before it.
        weight: more for each hit before it.
        hits: how many hits are in it.
    """

    inside: Floats
    weight: Floats
    hits: Floats


@lru_cache(maxsize=8)
def _tables(m: int) -> tuple[list[_WordTable], list[_WordTable]]:
    """Tables of each word for exclusive attributes, the farthest ranked first, and common ones, the nearest first."""
    size = _word_size(m)
    values = np.arange(1 << size)
    exclusive, common = [], []
    for start in range(0, m, size):
        position = np.arange(start, min(start + size, m))
        bits = (values[:, None] >> (position - start) & 1).astype(bool)
        exclusive.append(_word_table(bits[:, ::-1], (m - position)[::-1]))
        common.append(_word_table(~bits, position + 1))
    return exclusive, common


def _word_table(hits: npt.NDArray[np.bool_], rank: npt.NDArray[np.int_]) -> _WordTable:
    weight = np.where(hits, 1.0 / rank, 0.0)
    inside = (np.cumsum(hits, axis=1) * weight).sum(axis=1)
    return _WordTable(*(x.astype(np.float32) for x in (inside, weight.sum(axis=1), hits.sum(axis=1))))


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
