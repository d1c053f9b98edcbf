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

# Gallery images of a tile: with 1024 queries and 26 attributes, a tile takes 52 MiB, most of which the next steps find
# in the cache; a GPU needs larger ones.
_TILE_CPU = 512
_TILE_GPU = 4096


@torch.no_grad()
def iter_attribute_distances(
    query: Tensor, gallery: Tensor, chunk: int, device: torch.device | None = None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield d^k between a chunk of queries and a tile of the gallery, for all tiles of each chunk in turn.

    Features may be float16: queries are converted to float32 by chunks, the gallery one attribute of a tile at a time,
    so that memory never holds M x chunk x G values, nor the gallery in float32.

    Args:
        query: f^k of the queries, (M, queries, D).
        gallery: f^k of the gallery, (M, G, D).
        chunk: number of queries at a time.
        device: device of the computation; by default that of the features.

    Yields:
        The slice of queries, the slice of the gallery, and d^k (M, Q, tile) in float32.
    """
    device = device or query.device
    tile = _TILE_GPU if device.type == "cuda" else _TILE_CPU
    for start in range(0, query.shape[1], chunk):
        rows = slice(start, min(start + chunk, query.shape[1]))
        a = query[:, rows].to(device).float()
        a_squares = torch.linalg.vector_norm(a, dim=2, keepdim=True).square_()
        for first in range(0, gallery.shape[1], tile):
            columns = slice(first, min(first + tile, gallery.shape[1]))
            distances = torch.empty(len(a), a.shape[1], columns.stop - columns.start, device=device)
            for k in range(len(a)):
                b = gallery[k, columns].to(device).float()
                torch.mm(a[k], b.T, out=distances[k])
                norms = a_squares[k] + torch.linalg.vector_norm(b, dim=1).square_()
                torch.sub(norms, distances[k], alpha=2, out=distances[k])
                distances[k].clamp_(min=0).sqrt_()
            yield rows, columns, distances
