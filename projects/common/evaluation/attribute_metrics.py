"""How good an attribute decomposition of distances is: X-mAP_e, X-mAP_c and ADRE (AMD, sec. 4.3).

| letter | meaning                                    |
| ------ | ------------------------------------------ |
| M      | attributes                                 |
| P      | pairs of a query and a gallery image       |
| Q, G   | queries and gallery images of a chunk      |
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

# Pairs that are worked on at once: few enough for a CPU's cache, many enough to fill a GPU.
_PAIRS_CPU = 1 << 14
_PAIRS_GPU = 1 << 22


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
    m, p = distances.shape
    at_least = torch.ones(m, p, dtype=torch.uint8, device=distances.device)  # |{j: d_j >= d_k}|
    at_most = torch.ones_like(at_least)
    e = exclusive.to(torch.uint8)
    hits_above = e.clone()  # exclusive ones among the at_least
    exclusive_below = e.clone()  # exclusive ones among the at_most
    for a in range(m):
        for b in range(a + 1, m):
            b_above = (distances[b] >= distances[a]).view(torch.uint8)
            a_above = (distances[a] >= distances[b]).view(torch.uint8)
            at_least[a] += b_above
            at_most[b] += b_above
            at_least[b] += a_above
            at_most[a] += a_above
            hits_above[a] += b_above & e[b]
            exclusive_below[b] += b_above & e[a]
            hits_above[b] += a_above & e[a]
            exclusive_below[a] += a_above & e[b]
    common = 1 - e
    ap_e = _mean_precision(hits_above, at_least, e)
    ap_c = _mean_precision(at_most - exclusive_below, at_most, common)
    return ap_e, ap_c


def _mean_precision(hits: Tensor, ranks: Tensor, relevant: Tensor) -> Tensor:
    precision = hits.float().div_(ranks).mul_(relevant)
    return precision.sum(dim=0) / relevant.sum(dim=0, dtype=torch.float32).clamp(min=1)


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


@dataclass
class AttributeMeter:
    """Sums X-mAP and ADRE over chunks of query x gallery; never holds more than a chunk.

    Attributes:
        gallery_pids: (G,) identities of the whole gallery.
        gallery_attributes: (G, M), 0, 1, or -1 for an image without attributes.
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
    ) -> None:
        """Take a chunk of queries against the whole gallery.

        Args:
            distances: the model's d, (Q, G).
            attribute_distances: d^k, (M, Q, G).
            query_pids: (Q,).
            query_attributes: (Q, M), coded like the gallery's.
            columns: attributes that X-mAP is taken over, indices into M; all by default.
        """
        reconstructed = attribute_distances.sum(dim=0)
        far = distances > 0
        error = ((distances - reconstructed).abs() / distances.clamp(min=1e-12)).masked_fill_(~far, 0.0)
        self._add("adre", error.sum(dtype=torch.float64), far.sum())
        device = distances.device
        columns = torch.arange(len(attribute_distances)) if columns is None else columns
        gallery = self.gallery_attributes[:, columns].to(device)
        query = query_attributes[:, columns].to(device)
        for i in range(len(query_pids)):
            self._one_query(attribute_distances[columns.to(device), i], query_pids[i], query[i], gallery)

    def _one_query(self, distances: Tensor, pid: Tensor, attributes: Tensor, gallery: Tensor) -> None:
        if not len(attributes) or bool((attributes < 0).any()):
            return
        device = distances.device
        other = (self.gallery_pids.to(device) != pid) & (gallery >= 0).all(dim=1)
        chosen = other.nonzero().squeeze(1)
        step = _PAIRS_GPU if device.type == "cuda" else _PAIRS_CPU
        for part in chosen.split(step):
            exclusive = (gallery[part] != attributes).T.contiguous()
            self._pairs(distances[:, part].contiguous(), exclusive)

    def _pairs(self, distances: Tensor, exclusive: Tensor) -> None:
        m = len(distances)
        ap_e, ap_c = attribute_average_precision(distances, exclusive)
        m_e = exclusive.sum(dim=0)
        for name, ap, hits in (("e", ap_e, m_e), ("c", ap_c, m - m_e)):
            some = hits > 0
            self._add(f"x_map_{name}", ap[some].sum(dtype=torch.float64), some.sum())
            random = expected_random_ap(hits[some], m)
            self._add(f"random_x_map_{name}", random.sum(dtype=torch.float64), some.sum())

    def _add(self, name: str, total: Tensor, count: Tensor) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + float(total)
        self._sums[f"{name}/count"] = self._sums.get(f"{name}/count", 0.0) + float(count)

    def compute(self) -> dict[str, float]:
        """``adre``, ``x_map_e``, ``x_map_c``, ``random_x_map_e``, ``random_x_map_c`` as fractions.

        A metric without a single pair (no attributes are known) is NaN.
        """
        names = ("adre", "x_map_e", "x_map_c", "random_x_map_e", "random_x_map_c")
        return {name: self._mean(name) for name in names}

    def _mean(self, name: str) -> float:
        count = self._sums.get(f"{name}/count", 0.0)
        return self._sums[name] / count if count else float("nan")
