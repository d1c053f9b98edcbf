"""Building and querying the index of a gallery, compared with plain faiss."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import torch

from fastreid_projects.benchmarks.measure import Measurement, compare
from fastreid_projects.evaluation.index import GalleryIndex

_TOP = 10
Features = npt.NDArray[np.float32]


def indices(quick: bool, device: str) -> list[Measurement]:
    """Index 100,000 features of 5,000 persons and find the ten nearest of 1,000 queries; recall is relative to "flat".

    Features are random unit vectors near that of their person; "plain" is faiss without numbers for images.
    """
    people, shots, queries = (50, 4, 20) if quick else (5000, 20, 1000)
    gallery, asked = _clustered(people, shots, queries)
    kinds: dict[str, Callable[[], Any]] = {
        "flat": lambda: faiss.IndexFlatL2(gallery.shape[1]),
        "hnsw": _plain_graph(gallery.shape[1]),
        "ivfpq": _plain_cells(len(gallery), gallery.shape[1]),
    }
    measured, expected = [], None
    for kind in ("flat", "hnsw") if quick else kinds:
        own, own_seconds = _timed(partial(GalleryIndex.build, gallery, kind))
        plain, plain_seconds = _timed(partial(_filled, kinds[kind](), gallery))
        expected = own.search(asked, _TOP)[1] if expected is None else expected
        names = [
            f"{kind}{way}, recall {_recall(index.search(asked, _TOP)[1], expected):.3f}"
            for way, index in (("", own), (", plain faiss", plain))
        ]
        for name, seconds in zip(names, (own_seconds, plain_seconds), strict=True):
            measured.append(Measurement("index, building", name, seconds, None, plain_seconds / seconds))
        ways = [
            (name, partial(index.search, asked, _TOP))
            for name, index in zip(names, (own, plain), strict=True)
        ]
        measured += compare("index, asking", ways, repeats=1 if quick else 5)
    return measured


def search(quick: bool, device: str) -> list[Measurement]:
    """Compare ways to find the ten nearest of 1,000 queries in 100,000: index "flat", faiss, products on the device."""
    people, shots, queries = (50, 4, 20) if quick else (5000, 20, 1000)
    gallery, asked = _clustered(people, shots, queries)
    own, plain = GalleryIndex.build(gallery, "flat"), _filled(faiss.IndexFlatL2(gallery.shape[1]), gallery)
    columns = torch.from_numpy(gallery).to(device).t()

    def products() -> Any:
        return (torch.from_numpy(asked).to(device) @ columns).topk(_TOP, dim=1).indices.cpu()

    ways = [("flat", partial(own.search, asked, _TOP)), ("plain faiss", partial(plain.search, asked, _TOP))]
    return compare(
        "search", [*ways, (f"products on {device}", products)], repeats=2 if quick else 5, device=device
    )


def _clustered(people: int, shots: int, queries: int) -> tuple[Features, Features]:
    """Return unit vectors (people x shots, D) and (queries, D), each near that of its person."""
    rng = np.random.default_rng(0)
    size = 256
    centres = rng.standard_normal((people, size), dtype=np.float32)

    def near(persons: npt.NDArray[np.int64]) -> Features:
        features = centres[persons] + 0.5 * rng.standard_normal((len(persons), size), dtype=np.float32)
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    return near(np.repeat(np.arange(people), shots)), near(rng.integers(0, people, queries))


def _plain_graph(size: int) -> Callable[[], Any]:
    def make() -> Any:
        graph = faiss.IndexHNSWFlat(size, 32)
        graph.hnsw.efConstruction, graph.hnsw.efSearch = 200, 128
        return graph

    return make


def _plain_cells(count: int, size: int) -> Callable[[], Any]:
    def make() -> Any:
        cells = round(4 * count**0.5)
        index = faiss.IndexIVFPQ(faiss.IndexFlatL2(size), size, cells, 64, 8)
        index.nprobe = max(1, cells // 16)
        return index

    return make


def _filled(index: Any, features: Features) -> Any:
    if not index.is_trained:
        index.train(features)
    index.add(features)
    return index


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _recall(found: npt.NDArray[np.int64], expected: npt.NDArray[np.int64]) -> float:
    """Return the share of the nearest images that were found."""
    shared = [len(set(a) & set(b)) for a, b in zip(found.tolist(), expected.tolist(), strict=True)]
    return sum(shared) / expected.size
