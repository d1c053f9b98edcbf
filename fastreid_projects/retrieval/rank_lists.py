"""Rank the gallery for queries as the evaluation does, and choose the queries worth showing.

| letter | meaning          |
| ------ | ---------------- |
| Q      | queries          |
| D      | size of a feature |
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from fastreid_projects.data.sources import Picture
from fastreid_projects.errors import ConfigError
from fastreid_projects.evaluation.chance import random_scores
from fastreid_projects.evaluation.distance import METRICS
from fastreid_projects.evaluation.index import GalleryIndex

Kind = TypeVar("Kind", bound=Picture)
Features = npt.NDArray[np.float32]
_Hits = list[list[tuple[float, int]]]


@dataclass(frozen=True)
class Found(Generic[Kind]):
    """The gallery images found for a query.

    Attributes:
        query: the query.
        photos: gallery images, the nearest first, without those of the query's person by the query's camera.
        distances: Euclidean distances to them.
        possible: whether the gallery shows the query's person by another camera; only such queries count.
    """

    query: Kind
    photos: list[Kind]
    distances: list[float]
    possible: bool

    @property
    def right(self) -> list[bool | None]:
        """Whether each image shows the query's person; None if not known."""
        return [photo.shows(self.query) for photo in self.photos]

    @property
    def margin(self) -> float:
        """The distance of the first wrong image minus that of the first right one: positive if rank 1 is right."""
        first = dict(reversed(list(zip(self.right, self.distances, strict=True))))
        last = self.distances[-1] if self.distances else 0.0
        return first.get(False, last) - first.get(True, last)


def check_ranking(cfg: Any) -> None:
    """Check that the evaluation ranks as a search does.

    Raises:
        ConfigError: the evaluation ranks by something other than the distance of two features.
    """
    for key in ("RERANK", "AQE"):
        if cfg.TEST[key].ENABLED:
            raise ConfigError(
                f"TEST.{key}.ENABLED is True, so that ranks depend on more than the two images of a pair, which "
                f"searches and explanations do not support; add TEST.{key}.ENABLED False"
            )
    if cfg.TEST.METRIC not in METRICS:
        raise ConfigError(f"TEST.METRIC is '{cfg.TEST.METRIC}'; it has to be one of {', '.join(METRICS)}")


def check_depth(top_k: int, gallery: int) -> None:
    """Check that the gallery has at least ``top_k`` images.

    Raises:
        ConfigError: ``top_k`` is below 1 or more than the gallery has.
    """
    if not gallery:
        raise ConfigError("the gallery has 0 images: add some before it is searched")
    if not 1 <= top_k <= gallery:
        raise ConfigError(f"--top-k is {top_k}, but the gallery has {gallery} image(s); give 1 to {gallery}")


def find(
    queries: Sequence[Kind],
    gallery: Mapping[int, Kind],
    features: Features,
    index: GalleryIndex,
    top_k: int,
    whole: Callable[[Sequence[int]], Features],
) -> list[Found[Kind]]:
    """Return the top k images of every query, leaving out the same images as the evaluation.

    Args:
        queries: the queries.
        gallery: the gallery's images by their numbers in the index.
        features: features of the queries, (Q, D).
        index: index of the gallery.
        top_k: number of images for each query.
        whole: returns the full features of gallery images by their numbers, to sort the hits of a compressed index,
            whose distances are inexact.

    Raises:
        ConfigError: ``top_k`` is below 1 or more than the gallery has.
    """
    check_depth(top_k, len(gallery))
    shots = Counter((photo.identity, photo.camid) for photo in gallery.values())
    paths = {photo.path for photo in gallery.values()}
    junk = [
        max(shots[query.identity, query.camid], int(query.path in paths)) if query.identity is not None else 0
        for query in queries
    ]
    depth = min(top_k + max(junk, default=0), len(gallery))
    distances, numbers = index.search(features, depth)
    hits = [
        [(float(x), i) for i, x in zip(row, d, strict=True) if i >= 0 and not gallery[i].is_junk_for(query)][
            :top_k
        ]
        for query, row, d in zip(queries, numbers.tolist(), distances.tolist(), strict=True)
    ]
    if not index.exact:
        hits = _by_whole_features(features, hits, whole)
    cameras: dict[Any, set[Any]] = defaultdict(set)
    for identity, camid in shots:
        cameras[identity].add(camid)
    return [
        Found(
            query,
            [gallery[i] for _, i in row],
            [x for x, _ in row],
            possible=query.identity is not None and bool(cameras[query.identity] - {query.camid}),
        )
        for query, row in zip(queries, hits, strict=True)
    ]


def _by_whole_features(queries: Features, hits: _Hits, whole: Callable[[Sequence[int]], Features]) -> _Hits:
    found = sorted({i for row in hits for _, i in row})
    if not found:
        return hits
    exact = whole(found)
    place = {i: n for n, i in enumerate(found)}
    return [
        sorted((float(np.linalg.norm(query - exact[place[i]])), i) for _, i in row)
        for query, row in zip(queries, hits, strict=True)
    ]


def rank_1(found: Sequence[Found[Kind]]) -> float | None:
    """Return the share of counting queries whose first image is right, in per cent; None if no query counts."""
    first = [entry.right[0] is True for entry in found if entry.possible and entry.photos]
    return 100 * sum(first) / len(first) if first else None


def by_chance(queries: Sequence[Picture], gallery: Sequence[Picture]) -> dict[str, float]:
    """Return Rank-1, mAP and so on of a gallery in random order, in per cent; {} if no query counts."""
    persons = Counter(photo.identity for photo in gallery)
    shots = Counter((photo.identity, photo.camid) for photo in gallery)
    by_path = {photo.path: photo for photo in gallery}

    def counts(query: Picture) -> tuple[int, int]:
        own = by_path.get(query.path)
        itself = own is not None and own.identity == query.identity and own.camid != query.camid
        matches = persons[query.identity] - shots[query.identity, query.camid] - itself
        return matches, len(gallery) - persons[query.identity]

    return random_scores(counts(query) for query in queries if query.identity is not None)


def choose_queries(found: Sequence[Found[Kind]], number: int, seed: int = 0) -> list[tuple[Found[Kind], str]]:
    """Return the best, the worst and some random queries, each with a sentence; all of them if there are few."""
    if len(found) <= number:
        return [(entry, "") for entry in found]
    rated = sorted((entry for entry in found if entry.possible), key=lambda entry: -entry.margin)
    third = max(number // 3, 1) if rated else 0
    best, worst = rated[:third], rated[max(third, len(rated) - third) :][::-1]
    chosen = [(entry, "One of the queries that the model answers best.") for entry in best]
    chosen += [(entry, "One of the queries that the model answers worst.") for entry in worst]
    taken = {id(entry) for entry, _ in chosen}
    others = [entry for entry in found if id(entry) not in taken]
    picks = np.random.default_rng(seed).permutation(len(others))[: max(number - len(chosen), 0)]
    return (chosen + [(others[i], "Chosen at random.") for i in picks])[:number]
