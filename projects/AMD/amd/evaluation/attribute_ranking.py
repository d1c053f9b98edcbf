"""Average precision of ranking the attributes of many pairs by their distances.

| letter | meaning                                  |
| ------ | ---------------------------------------- |
| M      | attributes                               |
| P      | pairs of images                          |
| W      | words that hold M bits                   |

There are two ways with the same result. On a CPU, the attributes of each pair are sorted as integers: the bits of the
distance, followed by one bit that marks exclusive attributes. The M marks in the order of the distances then give the
average precision by look-ups in small tables, word by word. Pairs with equal distances, which are rare in practice, and
other devices compare every two attributes and count.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]
# Marks per word: tables of 2**13 entries fit into a CPU's first-level cache.
_WORD = 13


def attribute_average_precision(distances: Tensor, exclusive: Tensor) -> tuple[Tensor, Tensor]:
    """Return the average precision of ranking the attributes of each pair by their distances.

    For X-mAP_e the order is descending and the exclusive attributes are the hits; for X-mAP_c the order is ascending
    and the common attributes are the hits. The precision at a hit counts all attributes that are ranked at least as
    high, including those with equal distances, so that the result does not depend on how a sort breaks ties.

    Args:
        distances: d^k, (M, P).
        exclusive: (M, P) bool, True where the pair differs on the attribute.

    Returns:
        Two tensors (P,) in [0, 1]: AP_e (0 if no attribute is exclusive) and AP_c (0 if none is common).
    """
    sortable = distances.device.type == "cpu" and distances.dtype == torch.float32 and distances.numel() > 0
    if not sortable or not bool(distances.min() >= 0):
        return _by_counting(distances, exclusive)
    ap_e, ap_c = sorted_average_precision(distances.numpy(), exclusive.numpy())
    return torch.from_numpy(ap_e), torch.from_numpy(ap_c)


def sorted_average_precision(distances: Floats, exclusive: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Compute :func:`attribute_average_precision` of numpy arrays on the calling thread.

    Args:
        distances: (M, P), >= 0.
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
    """Return AP_e, AP_c and which pairs have equal distances, for which neither AP is valid.

    Args:
        distances: (M, P), >= 0, so that their bits sort like integers and the sign bit is free for the mark.
        exclusive: (M, P).
    """
    m = len(distances)
    # Unlike NumPy, PyTorch transposes block by block.
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
    tied[equal[equal % m < m - 1] // m] = True  # the last of a row is not compared with the first of the next
    return tied


def _words(keys: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint16]:
    """Return the marks of sorted rows (P, M) as words (W, P); the first bit is the attribute of least distance."""
    p, m = keys.shape
    size = _word_size(m)
    marks = np.zeros((p, -(-m // size), 16), dtype=np.uint8)
    for w, start in enumerate(range(0, m, size)):
        part = keys[:, start : start + size]
        np.bitwise_and(part, 1, out=marks[:, w, : part.shape[1]], casting="unsafe")
    packed = np.packbits(marks.reshape(-1), bitorder="little").view("<u2")
    return np.ascontiguousarray(packed.reshape(p, -1).T)


def _word_size(m: int) -> int:
    """Return the number of marks per word if there are M; the last word may have fewer."""
    return -(-m // -(-m // _WORD))


def _read_tables(words: npt.NDArray[np.uint16], m: int) -> tuple[Floats, Floats]:
    """Return AP_e and AP_c of M marks, given as words (W, P)."""
    exclusive, common = _tables(m)
    return _read(words[::-1], exclusive[::-1]), _read(
        words, common
    )  # the farthest ranked first, and the nearest ranked first


def _read(words: npt.NDArray[np.uint16], tables: list[_WordTable]) -> Floats:
    """Look up the average precision of words (W, P), the first of which is ranked highest."""
    sums = np.zeros(words.shape[1], dtype=np.float32)
    found = np.zeros(words.shape[1], dtype=np.float32)
    for word, table in zip(words, tables, strict=True):
        sums += table.inside[word]
        sums += found * table.weight[word]
        found += table.hits[word]
    sums /= np.maximum(found, 1)
    return sums


class _WordTable(NamedTuple):
    """The contribution of a word of marks to the sum of precisions, indexed by the word's value.

    Attributes:
        inside: the contribution if no hit is ranked before the word.
        weight: the additional contribution for each hit ranked before it.
        hits: the number of hits in the word.
    """

    inside: Floats
    weight: Floats
    hits: Floats


@lru_cache(maxsize=8)
def _tables(m: int) -> tuple[list[_WordTable], list[_WordTable]]:
    """Return the tables of each word: for exclusive attributes, the farthest first; for common ones, the nearest."""
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
    """Return AP_e and AP_c on any device, also with ties; this takes M x M x P bytes of memory."""
    at_least = distances.unsqueeze(0) >= distances.unsqueeze(1)  # [k, j]: is j at least as far as k?
    at_most = at_least.transpose(0, 1)
    ap_e = _mean_precision(at_least, exclusive)
    ap_c = _mean_precision(at_most, ~exclusive)
    return ap_e, ap_c


def known_average_precision(distances: Tensor, exclusive: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the average precision of ranking the known attributes of each pair alone, as if it had no others.

    Args:
        distances: d^k, (M, P).
        exclusive: (M, P) bool, a subset of ``known``.
        known: (M, P) bool; known attributes that are not exclusive are common.

    Returns:
        See :func:`attribute_average_precision`. This takes M x M x P bytes of memory.
    """
    at_least = distances.unsqueeze(0) >= distances.unsqueeze(1)
    at_most = at_least.transpose(0, 1)
    return _mean_precision(at_least & known, exclusive), _mean_precision(at_most & known, known & ~exclusive)


def _mean_precision(ranked_above: Tensor, hits: Tensor) -> Tensor:
    precision = (ranked_above & hits).sum(dim=1).float() / ranked_above.sum(dim=1).clamp(min=1)
    return (precision * hits).sum(dim=0) / hits.sum(dim=0).clamp(min=1)


def expected_random_ap(num_hits: Tensor, m: int) -> Tensor:
    """Return the expected average precision of a random order of m items, ``num_hits`` of which are hits.

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
