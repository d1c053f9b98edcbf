"""How good an attribute decomposition of distances is: X-mAP_e, X-mAP_c and ADRE (AMD, sec. 4.3).

| letter | meaning                                    |
| ------ | ------------------------------------------ |
| M      | attributes                                 |
| M_K    | those that are known of both images        |
| M_E    | those of M_K on which the two differ       |
| P      | pairs of a query and a gallery image       |
| Q, G   | queries and gallery images of a tile       |

A pair of different persons counts in X-mAP_e where M_E >= 1 and in X-mAP_c where M_E <= M_K - 1, with the M_K known
attributes ranked alone; one that is unknown for either image is neither ranked nor a hit (the paper has none). A random
order is one of the M_K.
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

# Pairs that are worked on at once: few enough for a CPU's cache, many enough to fill a GPU.
_PAIRS_CPU = 1 << 13
_PAIRS_GPU = 1 << 20


@dataclass
class AttributeMeter:
    """Sums X-mAP and ADRE over tiles of query x gallery; never holds more than a tile.

    Attributes:
        gallery_pids: (whole gallery,) identities.
        gallery_attributes: (whole gallery, M), 0, 1, or -1 where an attribute is unknown.
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
        """Take a tile: some queries against the whole gallery or a part of it.

        Args:
            distances: the model's d, (Q, G).
            attribute_distances: d^k, (M, Q, G).
            query_pids: (Q,).
            query_attributes: (Q, M), coded like the gallery's.
            columns: attributes that X-mAP is taken over, indices into M; all by default.
            gallery: which part of the gallery the tile is.
            sums: of d^k over all attributes, (Q, G), where they are known.
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
        """``adre``, ``x_map_e``, ``x_map_c``, ``random_x_map_e``, ``random_x_map_c`` as fractions.

        A metric without a single pair (no attributes are known) is NaN.
        """
        names = ("adre", "x_map_e", "x_map_c", "random_x_map_e", "random_x_map_c")
        return {name: self._mean(name) for name in names}

    def _mean(self, name: str) -> float:
        count = self._sums.get(f"{name.removeprefix('random_')}/count", 0.0)
        return self._sums[name] / count if count else float("nan")


@dataclass(frozen=True)
class _Labels:
    """What is known of the images of one side of a tile.

    Attributes:
        pids: (images,) identities.
        attributes: (images, M).
        complete: (images,) whether all M are known.
        some: (images,) whether one is.
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
    """Cut a tile (M, Q, G) into blocks of at most so many pairs."""
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
    """X-mAP's sums and counts over a block; in numpy on a CPU, where many blocks are measured at a time."""
    rows, columns = block
    m = len(distances)
    exclusive = (query.attributes[rows, None] != gallery.attributes[columns]).reshape(-1, m)
    valid = query.pids[rows, None] != gallery.pids[columns]
    valid &= query.known[rows, None] & gallery.known[columns]
    ap_e, ap_c = _average_precision(distances[:, rows, columns].flatten(1), exclusive)
    keep = valid.reshape(-1)
    pairs = np.bincount(_count(exclusive)[keep], minlength=m + 1)  # how many have an M_E of 0, 1, ... M
    random = np.append(0.0, expected_random_ap(torch.arange(1, m + 1), m).numpy())
    return {
        "x_map_e": float(ap_e.sum(where=keep, dtype=np.float64)),  # 0 where nothing is exclusive
        "x_map_e/count": float(pairs[1:].sum()),
        "random_x_map_e": float((pairs * random).sum()),
        "x_map_c": float(ap_c.sum(where=keep, dtype=np.float64)),
        "x_map_c/count": float(pairs[:-1].sum()),
        "random_x_map_c": float((pairs * random[::-1]).sum()),
    }


def _count(exclusive: Array) -> Array:
    """Number of exclusive attributes of pairs (P, M): (P,); by a product, several times as fast as a sum of bools."""
    return (exclusive.view(np.uint8).astype(np.float32) @ np.ones(exclusive.shape[1], np.float32)).astype(
        np.intp
    )


def _average_precision(distances: Tensor, exclusive: Array) -> tuple[Array, Array]:
    """AP_e and AP_c of d^k (M, P) and what is exclusive (P, M)."""
    if distances.device.type == "cpu":
        return sorted_average_precision(distances.numpy(), exclusive.T)
    mask = torch.from_numpy(exclusive).to(distances.device).T.contiguous()
    ap_e, ap_c = attribute_average_precision(distances, mask)
    return ap_e.cpu().numpy(), ap_c.cpu().numpy()
