"""Attribute distances of queries to a whole gallery, chunk by chunk.

| letter | meaning                          |
| ------ | -------------------------------- |
| Q, G   | queries of a chunk, gallery      |
| M      | attributes                       |
| D      | size of a feature                |
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


@torch.no_grad()
def iter_attribute_distances(
    query: Tensor, gallery: Tensor, chunk: int, device: torch.device | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Yield d^k of a chunk of queries to the whole gallery; never more than M x chunk x G is held.

    Features may be float16: they are brought to float32 one attribute at a time.

    Args:
        query: f^k of the queries, (M, queries, D).
        gallery: f^k of the gallery, (M, G, D).
        chunk: queries at a time.
        device: where to compute; by default where the features lie.

    Yields:
        The slice of queries, and d^k (M, Q, G) in float32.
    """
    device = device or query.device
    squares = torch.stack([part.to(device).float().square().sum(dim=1) for part in gallery])
    for start in range(0, query.shape[1], chunk):
        rows = slice(start, min(start + chunk, query.shape[1]))
        distances = torch.empty(len(query), rows.stop - rows.start, gallery.shape[1], device=device)
        for k in range(len(query)):
            a, b = query[k, rows].to(device).float(), gallery[k].to(device).float()
            torch.addmm(squares[k].expand(len(a), -1), a, b.T, alpha=-2, out=distances[k])
            distances[k] += a.square().sum(dim=1, keepdim=True)
        yield rows, distances.clamp_(min=0).sqrt_()
