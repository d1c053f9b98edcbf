"""Measures of how well distances are decomposed into attributes: X-mAP_e, X-mAP_c and ADRE (AMD, sec. 4.3).

| letter | meaning                                    |
| ------ | ------------------------------------------ |
| M      | attributes                                 |
| M_K    | those that are known for both images       |
| M_E    | those of M_K on which the two differ       |
| P      | pairs of a query and a gallery image       |
| Q, G   | queries and gallery images of a tile       |

A pair of different persons counts for X-mAP_e if M_E >= 1 and for X-mAP_c if M_E <= M_K - 1. Only its M_K known
attributes are ranked; one that is unknown for either image (the paper has none) is neither ranked nor a hit. The random
order for comparison is also one of the M_K attributes.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .attribute_ranking import (
    attribute_average_precision,
    expected_random_ap,
    known_average_precision,
    sorted_average_precision,
)

Array = npt.NDArray[Any]

# Number of pairs processed at once: few enough for a CPU's cache, many enough to fill a GPU.
_PAIRS_CPU = 1 << 13
_PAIRS_GPU = 1 << 20


@dataclass
class AttributeMeter:
    """Sum X-mAP and ADRE over tiles of query x gallery, never holding more than one tile.

    Attributes:
        gallery_pids: (whole gallery,) identities.
        gallery_attributes: (whole gallery, M), 0, 1, or -1 if unknown.
    """

    gallery_pids: Tensor
    gallery_attributes: Tensor
    _sums: dict[str, float] = field(default_factory=dict)

    def update(
        self,
        distances: Tensor,
        attribute_distances: Tensor,
        query_pids: Tensor,
        query_attributes: Tensor,
        columns: Tensor | None = None,
        gallery: slice = slice(None),
        sums: Tensor | None = None,
    ) -> None:
        """Add a tile: some queries against the whole gallery or a part of it.

        Args:
            distances: the model's d, (Q, G).
            attribute_distances: d^k, (M, Q, G).
            query_pids: (Q,).
            query_attributes: (Q, M), coded like the gallery's.
            columns: indices of the attributes that count for X-mAP; by default all M.
            gallery: the part of the gallery in this tile.
            sums: the sums of d^k over all attributes, (Q, G), if already computed.
        """
        self._reconstruction(distances, attribute_distances.sum(dim=0) if sums is None else sums)
        if columns is not None and len(columns) < len(attribute_distances):
            attribute_distances = attribute_distances[columns.to(distances.device)]
        m = len(attribute_distances)
        if not m or not distances.numel():
            return
        query = _Labels.of(query_pids, query_attributes, columns)
        others = _Labels.of(self.gallery_pids[gallery], self.gallery_attributes[gallery], columns)
        on_cpu = distances.device.type == "cpu"
        measure = partial(_measure, attribute_distances, query, others)
        with ThreadPoolExecutor(torch.get_num_threads() if on_cpu else 1) as pool:
            for measured in pool.map(measure, _blocks(attribute_distances)):
                for name, value in measured.items():
                    self._add(name, value)

    def _reconstruction(self, distances: Tensor, reconstructed: Tensor) -> None:
        far = distances > 0
        error = (reconstructed - distances).abs_().div_(distances.clamp(min=1e-12)).masked_fill_(~far, 0.0)
        self._add("adre", float(error.sum(dtype=torch.float64)))
        self._add("adre/count", float(far.sum()))

    def _add(self, name: str, value: float) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + value

    def compute(self) -> dict[str, float]:
        """Return ``adre``, ``x_map_e``, ``x_map_c``, ``random_x_map_e`` and ``random_x_map_c`` as fractions.

        A metric without any pair, as without known attributes, is NaN.
        """
        names = ("adre", "x_map_e", "x_map_c", "random_x_map_e", "random_x_map_c")
        return {name: self._mean(name) for name in names}

    def _mean(self, name: str) -> float:
        count = self._sums.get(f"{name.removeprefix('random_')}/count", 0.0)
        return self._sums[name] / count if count else float("nan")


@dataclass(frozen=True)
class _Labels:
    """The labels of the images on one side of a tile.

    Attributes:
        pids: (images,) identities.
        attributes: (images, M).
        complete: (images,) whether all M attributes are known.
        some: (images,) whether at least one is known.
    """

    pids: Array
    attributes: Array
    complete: Array
    some: Array

    @classmethod
    def of(cls, pids: Tensor, attributes: Tensor, columns: Tensor | None) -> _Labels:
        chosen = (attributes if columns is None else attributes[:, columns]).cpu().numpy()
        known = chosen >= 0
        complete, some = (np.asarray(found) for found in (known.all(axis=1), known.any(axis=1)))
        return cls(pids.cpu().numpy(), np.ascontiguousarray(chosen), complete, some)


def _blocks(distances: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield the slices of Q and G that cut a tile (M, Q, G) into blocks of a limited number of pairs."""
    most = _PAIRS_GPU if distances.device.type == "cuda" else _PAIRS_CPU
    _, queries, gallery = distances.shape
    across = min(gallery, most)
    down = max(most // across, 1)
    for q in range(0, queries, down):
        for g in range(0, gallery, across):
            yield slice(q, q + down), slice(g, g + across)


def _measure(
    distances: Tensor, query: _Labels, gallery: _Labels, block: tuple[slice, slice]
) -> dict[str, float]:
    """Return X-mAP's sums and counts over a block; numpy computes them on a CPU, where blocks run in parallel."""
    rows, columns = block
    m = len(distances)
    exclusive = (query.attributes[rows, None] != gallery.attributes[columns]).reshape(-1, m)
    parts = distances[:, rows, columns].flatten(1)
    different = query.pids[rows, None] != gallery.pids[columns]
    complete = query.complete[rows, None] & gallery.complete[columns]
    ap_e, ap_c = _average_precision(parts, exclusive)
    keep = (different & complete).reshape(-1)
    m_e = _count(exclusive)[keep]
    sums = _sums(ap_e[keep], ap_c[keep], m_e, np.full_like(m_e, m), m)
    partial = different & ~complete & query.some[rows, None] & gallery.some[columns]
    if partial.any():
        known = (query.attributes[rows, None] >= 0) & (gallery.attributes[columns] >= 0)
        chosen = partial.reshape(-1)
        more = _measure_known(parts, exclusive[chosen], known.reshape(-1, m)[chosen], chosen)
        sums = {name: value + more[name] for name, value in sums.items()}
    return sums


def _measure_known(distances: Tensor, exclusive: Array, known: Array, chosen: Array) -> dict[str, float]:
    """Return X-mAP's sums and counts over pairs with unknown attributes.

    Args:
        distances: (M, P) of the whole block.
        exclusive: (chosen, M) whether the two labels differ.
        known: (chosen, M) whether both labels are known.
        chosen: (P,) which pairs of the block to measure.
    """
    exclusive &= known
    device = distances.device
    masks = [torch.from_numpy(mask).to(device).T for mask in (exclusive, known)]
    ap_e, ap_c = known_average_precision(distances[:, torch.from_numpy(chosen).to(device)], *masks)
    return _sums(
        ap_e.cpu().numpy(), ap_c.cpu().numpy(), exclusive.sum(axis=1), known.sum(axis=1), len(distances)
    )


def _sums(ap_e: Array, ap_c: Array, m_e: Array, m_k: Array, m: int) -> dict[str, float]:
    """Return the sums and counts over pairs from their AP, M_E and M_K; AP is 0 if there is no hit."""
    sums = {}
    for kind, ap, hits in (("e", ap_e, m_e), ("c", ap_c, m_k - m_e)):
        pairs = np.bincount(m_k * (m + 1) + hits, minlength=(m + 1) ** 2).reshape(m + 1, m + 1)
        sums[f"x_map_{kind}"] = float(ap.sum(dtype=np.float64))
        sums[f"x_map_{kind}/count"] = float(pairs[:, 1:].sum())
        sums[f"random_x_map_{kind}"] = float((pairs * _random_table(m)).sum())
    return sums


@lru_cache(maxsize=8)
def _random_table(m: int) -> Array:
    """Return the expected AP of a random order by M_K and number of hits, (M + 1, M + 1); 0 without a hit."""
    table = np.zeros((m + 1, m + 1))
    for m_k in range(1, m + 1):
        table[m_k, 1 : m_k + 1] = expected_random_ap(torch.arange(1, m_k + 1), m_k).numpy()
    return table


def _count(exclusive: Array) -> Array:
    """Return the number (P,) of exclusive attributes of pairs (P, M); a product is faster than a sum of bools."""
    ones = np.ones(exclusive.shape[1], np.float32)
    counts: Array = (exclusive.view(np.uint8).astype(np.float32) @ ones).astype(np.intp)
    return counts


def _average_precision(distances: Tensor, exclusive: Array) -> tuple[Array, Array]:
    """Return AP_e and AP_c of d^k (M, P) with exclusive attributes (P, M)."""
    if distances.device.type == "cpu":
        return sorted_average_precision(distances.numpy(), exclusive.T)
    mask = torch.from_numpy(exclusive).to(distances.device).T.contiguous()
    ap_e, ap_c = attribute_average_precision(distances, mask)
    return ap_e.cpu().numpy(), ap_c.cpu().numpy()
