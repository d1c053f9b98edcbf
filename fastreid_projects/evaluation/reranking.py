"""Re-ranking with k-reciprocal neighbours (Zhong et al. 2017), with sparse matrices.

| letter | meaning                                                        |
| ------ | -------------------------------------------------------------- |
| Q, G   | number of query, gallery images                                |
| N      | Q + G                                                          |
| K      | number of neighbours found for each image                      |
| C      | number of images in one chunk                                  |

``"zhong2017"`` is the method as its authors published it: squared Euclidean distances, each image's divided by its
largest one; k1 neighbours besides the image itself; the same distances in the weights of the neighbours and in the
final sum. Its result is the same for any scale of the features. ``"fastreid"`` is what the host computes
(``utils/compute_dist.py:79``, ``search_option=3``): undivided distances, and k1 neighbours including the image.

The authors' code keeps dense N x N matrices for both. Here the encoding of an image is one row of a sparse matrix, with
a few dozen entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from fastreid_projects.errors import ConfigError
from fastreid_projects.evaluation.distance import comparable, row_chunks

ZHONG, FASTREID = "zhong2017", "fastreid"
FORMULAS = (ZHONG, FASTREID)
_CHUNK = 64


def iter_jaccard_distances(
    query: torch.Tensor,
    gallery: torch.Tensor,
    k1: int = 20,
    k2: int = 6,
    chunk: int = 256,
    device: torch.device | str | None = None,
    formula: str = ZHONG,
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield the Jaccard distances (0..1) between query and gallery in chunks of rows.

    Args:
        query: (Q, D) features, which have to be normalised for the cosine metric.
        gallery: (G, D) features.
        k1: the size of the k-reciprocal neighbourhood, TEST.RERANK.K1; above N it acts like N.
        k2: the number of neighbours whose encodings are averaged, TEST.RERANK.K2.
        chunk: the largest C.
        device: the device that finds neighbours; by default that of ``query``.
        formula: one of FORMULAS, TEST.RERANK.FORMULA.

    Yields:
        The slice of the queries and their distances (C, G) as float32.

    Raises:
        ConfigError: ``k1`` or ``k2`` is below 1, or the formula is unknown.
    """
    encodings = encode_neighbours(torch.cat((query, gallery.to(query.device))), k1, k2, device, formula)
    yield from iter_encoded_distances(encodings, len(query), chunk)


def iter_encoded_distances(
    encodings: sparse.csr_matrix, num_query: int, chunk: int = 256
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield the same from the encodings (N, N) of the queries followed by the gallery images."""
    by_neighbour = encodings[num_query:].tocsc()
    for part in row_chunks(num_query, encodings.shape[0] - num_query, chunk):
        rows = [_jaccard_row(encodings, by_neighbour, row) for row in range(part.start, part.stop)]
        yield part, np.stack(rows)


def _jaccard_row(
    encodings: sparse.csr_matrix, by_neighbour: sparse.csc_matrix, row: int
) -> npt.NDArray[np.float32]:
    """Return one query's Jaccard distances (G,): 1 - sum(min) / sum(max), where every encoding sums to 1."""
    own = slice(encodings.indptr[row], encodings.indptr[row + 1])
    neighbours, weights = encodings.indices[own], encodings.data[own]
    starts, stops = by_neighbour.indptr[neighbours], by_neighbour.indptr[neighbours + 1]
    lengths = stops - starts
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    entries = np.repeat(starts, lengths) + offsets
    smaller = np.minimum(np.repeat(weights, lengths), by_neighbour.data[entries])
    common = np.bincount(by_neighbour.indices[entries], weights=smaller, minlength=by_neighbour.shape[0])
    return np.maximum(1 - common / (2 - common), 0).astype(np.float32)


def encode_neighbours(
    images: torch.Tensor,
    k1: int,
    k2: int,
    device: torch.device | str | None = None,
    formula: str = ZHONG,
) -> sparse.csr_matrix:
    """Return the k-reciprocal encodings of N images, (N, N) float32, averaged over the ``k2`` nearest images.

    Args:
        images: (N, D) features.
        k1: the size of the neighbourhood.
        k2: the number of images to average over; 1 leaves the encodings as they are.
        device: the device that finds neighbours, by default that of ``images``; the rest is sparse, on the CPU.
        formula: one of FORMULAS.

    Raises:
        ConfigError: ``k1`` or ``k2`` is below 1, or the formula is unknown.
    """
    if k1 < 1 or k2 < 1:
        raise ConfigError(f"TEST.RERANK.K1 is {k1} and TEST.RERANK.K2 is {k2}, but both must be at least 1.")
    if formula not in FORMULAS:
        raise ConfigError(f"TEST.RERANK.FORMULA is '{formula}', but must be one of {', '.join(FORMULAS)}.")
    device = images.device if device is None else torch.device(device)
    images, _ = comparable(images, "euclidean", device="cpu")
    features = images.contiguous().numpy()
    k, looked = (k1 + 1, max(k1 + 1, k2)) if formula == ZHONG else (k1, k1)
    looked = min(looked, len(features))
    if device.type == "cpu":
        ranked = nearest_by_faiss(features, looked)
    else:
        ranked = nearest_by_torch(images.to(device), looked)
    nearest = ranked[:, :k]
    half = int(np.around(k1 / 2)) + 1
    chunks = [slice(start, start + _CHUNK) for start in range(0, len(features), _CHUNK)]
    mutual = np.concatenate([_is_reciprocal(nearest, part) for part in chunks])
    mutual_half = np.concatenate([_is_reciprocal(nearest[:, :half], part) for part in chunks])
    near_half = np.where(mutual_half, nearest[:, :half], -1)
    scales = 1 / farthest(images.to(device)) if formula == ZHONG else np.ones(len(features), np.float32)
    rows = [_encode(features, scales, nearest, mutual, near_half, part) for part in chunks]
    encodings = sparse.vstack(rows, format="csr", dtype=np.float32)
    if k2 == 1:
        return encodings
    averaged = ranked[:, :k2]
    weights = np.full(averaged.size, 1 / averaged.shape[1], dtype=np.float32)
    ends = np.arange(0, averaged.size + 1, averaged.shape[1])
    return (sparse.csr_matrix((weights, averaged.ravel(), ends), shape=encodings.shape) @ encodings).tocsr()


@torch.no_grad()
def farthest(features: torch.Tensor, count: int | None = None, chunk: int = 1024) -> npt.NDArray[np.float32]:
    """Return the squared distance of each image to the image farthest from it; 1 if all are equal.

    Args:
        features: (N, D), centred, float32.
        count: the number of images to return it for, from the first; by default all.
        chunk: the number of images whose N distances are in memory at the same time.

    Returns:
        (count,).
    """
    squares = features.pow(2).sum(dim=1)
    parts = []
    for part, own in zip(features[:count].split(chunk), squares[:count].split(chunk), strict=True):
        parts.append((torch.addmm(squares, part, features.t(), alpha=-2).amax(dim=1) + own).cpu())
    found = torch.cat(parts)
    return torch.where(found > 0, found, torch.ones_like(found)).numpy().astype(np.float32)


def nearest_by_faiss(features: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Return the ``k`` nearest images (N, k) of each image, which usually start with the image itself."""
    index: Any = faiss.IndexFlatL2(features.shape[1])
    index.add(features)
    return index.search(features, k)[1]


@torch.no_grad()
def nearest_by_torch(features: torch.Tensor, k: int, chunk: int = 1024) -> npt.NDArray[np.int64]:
    """Do the same on the device of the features with any build of faiss; use at most (chunk, N) distances at a time."""
    squares = features.pow(2).sum(dim=1)
    parts = []
    for start in range(0, len(features), chunk):
        distances = torch.addmm(squares, features[start : start + chunk], features.t(), alpha=-2)
        parts.append(distances.topk(k, dim=1, largest=False).indices.cpu())
    return torch.cat(parts).numpy()


def _is_reciprocal(nearest: npt.NDArray[np.int64], part: slice) -> npt.NDArray[np.bool_]:
    """Return whether the image itself is among the nearest of each of its nearest, (C, K)."""
    own = np.arange(len(nearest))[part]
    return (nearest[nearest[part]] == own[:, None, None]).any(axis=2)


def _encode(
    features: npt.NDArray[np.float32],
    scales: npt.NDArray[np.floating],
    nearest: npt.NDArray[np.int64],
    mutual: npt.NDArray[np.bool_],
    near_half: npt.NDArray[np.int64],
    part: slice,
) -> sparse.csr_matrix:
    """Return the encodings (C, N) of one chunk: a softmax over the expanded reciprocal neighbourhood."""
    neighbours, is_mutual = nearest[part], mutual[part]
    count = len(neighbours)
    rows = np.arange(count)
    members = np.zeros((count, len(nearest) + 1), dtype=bool)  # the last column takes the index -1, "none"
    members[np.repeat(rows, is_mutual.sum(axis=1)), neighbours[is_mutual]] = True
    second = near_half[neighbours]  # (C, K, H) reciprocal neighbours of each neighbour
    known = second >= 0
    shared = (members[rows[:, None, None], second] & known).sum(axis=2)
    accepted = is_mutual & (shared > 2 / 3 * known.sum(axis=2))
    row_of = np.broadcast_to(rows[:, None, None], second.shape)
    chosen = known & accepted[:, :, None]
    members[row_of[chosen], second[chosen]] = True
    row, column = np.nonzero(members[:, :-1])
    owner = row + part.start
    weight = _softmax_of_rows(_negative_distances(features, owner, column) * scales[owner], row, count)
    return sparse.csr_matrix((weight, (row, column)), shape=(count, len(nearest)), dtype=np.float32)


def _negative_distances(
    features: npt.NDArray[np.float32], left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return minus the squared Euclidean distances of the pairs, as differences: exact for near pairs."""
    parts = [
        -np.square(features[left[start : start + 4096]] - features[right[start : start + 4096]]).sum(axis=1)
        for start in range(0, len(left), 4096)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


def _softmax_of_rows(
    values: npt.NDArray[np.float32], row: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.float64]:
    """Return the softmax over the entries of each row; ``row`` is sorted and lies in 0..count-1."""
    highest = np.full(count, -np.inf)
    np.maximum.at(highest, row, values)
    exponentials = np.exp(values - highest[row])
    return exponentials / np.bincount(row, weights=exponentials, minlength=count)[row]
