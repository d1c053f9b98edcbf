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

# Gallery images of a tile: a tile of 1024 queries and 26 attributes is 52 MiB, which the next steps find in the cache
# or not far from it; a GPU wants larger ones.
_TILE_CPU = 512
_TILE_GPU = 4096


@torch.no_grad()
def iter_attribute_distances(
    query: Tensor, gallery: Tensor, chunk: int, device: torch.device | None = None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield d^k of a chunk of queries to a tile of the gallery, all tiles of a chunk one after the other.

    Features may be float16: queries are brought to float32 chunk by chunk, the gallery one attribute of a tile at a
    time. Neither M x chunk x G nor a float32 gallery is ever held.

    Args:
        query: f^k of the queries, (M, queries, D).
        gallery: f^k of the gallery, (M, G, D).
        chunk: queries at a time.
        device: where to compute; by default where the features lie.

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
