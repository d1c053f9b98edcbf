"""Finding what the target takes for nearest to a query, and which queries are worth showing.

| letter | meaning                       |
| ------ | ----------------------------- |
| D      | size of the target's feature  |
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from fastreid_projects.errors import ConfigError
from fastreid_projects.evaluation.distance import METRICS
from fastreid_projects.evaluation.index import GalleryIndex, gallery_key

from ..build import target_config
from .pairs import PairExplainer
from .sources import Photo

_BATCH = 64


@dataclass(frozen=True)
class Found:
    """What was found for a query.

    Attributes:
        query: the query.
        photos: gallery images, the nearest first; the query's own person by its own camera is left out.
        distances: the target's d to them.
        possible: whether the gallery shows the query's person by another camera at all; only such queries count.
    """

    query: Photo
    photos: list[Photo]
    distances: list[float]
    possible: bool

    @property
    def right(self) -> list[bool | None]:
        """Whether each shows the query's person; None where that is not known."""
        return [photo.shows(self.query) for photo in self.photos]

    @property
    def margin(self) -> float:
        """d of the first wrong image less d of the first right one: positive where rank 1 is right."""
        first = dict(reversed(list(zip(self.right, self.distances, strict=True))))
        last = self.distances[-1] if self.distances else 0.0
        return first.get(False, last) - first.get(True, last)


def embed_all(explainer: PairExplainer, paths: Sequence[str], what: str) -> npt.NDArray[np.float32]:
    """The target's features of many images, (images, D), with a progress bar.

    Raises:
        DataError: an image cannot be read; names it.
    """
    features = []
    with (
        ThreadPoolExecutor() as pool,
        tqdm(total=len(paths), desc=what, unit="image", disable=None) as progress,
    ):
        for start in range(0, len(paths), _BATCH):
            part = paths[start : start + _BATCH]
            images = torch.cat(list(pool.map(lambda path: explainer.load([path]), part)))
            features.append(explainer.embed(images).numpy())
            progress.update(len(part))
    return np.concatenate(features)


def open_index(
    explainer: PairExplainer, gallery: Sequence[Photo], path: Path | None, kind: str, model_key: str
) -> GalleryIndex:
    """The gallery's index, from ``path`` if it is there for these images and this model, else built and kept there.

    Args:
        explainer: gives the features.
        gallery: its images.
        path: the index file, or None to keep none.
        kind: of :meth:`GalleryIndex.build`.
        model_key: text that changes with the model, see :func:`features_key`.
    """
    paths = [photo.path for photo in gallery]
    key = gallery_key(paths, kind, model_key)
    index = GalleryIndex.load_if_current(path, key) if path else None
    if index is None:
        index = GalleryIndex.build(embed_all(explainer, paths, "gallery"), kind, key)
        if path:
            index.save(path)
    return index


def features_key(cfg: Any) -> str:
    """A text that changes with all that changes a feature: weights, target, input, and how they are compared."""
    with open(cfg.MODEL.WEIGHTS, "rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    amd = cfg.MODEL.META_ARCHITECTURE == "AMD"
    target = target_config(cfg).MODEL if amd else cfg.MODEL.clone()
    target.defrost()
    target.DEVICE = target.WEIGHTS = ""
    own = (cfg.MODEL.AMD.NECK_FEAT, cfg.MODEL.AMD.NORMALIZE) if amd else ()
    words = (*own, cfg.TEST.METRIC, cfg.TEST.FLIP.ENABLED)
    return "\n".join([weights, target.dump(), cfg.INPUT.dump(), *map(str, words)])


def check_search(cfg: Any) -> None:
    """See that the evaluation ranks as a search does.

    Raises:
        ConfigError: the evaluation ranks by something else than a distance of two features.
    """
    for key in ("RERANK", "AQE"):
        if cfg.TEST[key].ENABLED:
            raise ConfigError(
                f"TEST.{key}.ENABLED is True: it ranks by more than the two images of a pair, which attributes "
                f"cannot explain; add TEST.{key}.ENABLED False"
            )
    if cfg.TEST.METRIC not in METRICS:
        raise ConfigError(f"TEST.METRIC is '{cfg.TEST.METRIC}'; it has to be one of {', '.join(METRICS)}")


def check_depth(top_k: int, gallery: Sequence[Photo]) -> None:
    """See that the gallery has so many images.

    Raises:
        ConfigError: ``top_k`` is below 1 or more than the gallery has.
    """
    if not 1 <= top_k <= len(gallery):
        raise ConfigError(
            f"--top-k is {top_k}, but the gallery has {len(gallery)} image(s); give 1 to {len(gallery)}"
        )


def search(
    explainer: PairExplainer,
    queries: Sequence[Photo],
    gallery: Sequence[Photo],
    index: GalleryIndex,
    top_k: int,
) -> list[Found]:
    """The top k of every query; those that a compressed index finds are ordered by their whole features.

    Raises:
        ConfigError: ``top_k`` is below 1 or more than the gallery has.
    """
    check_depth(top_k, gallery)
    shots = Counter((photo.identity, photo.camid) for photo in gallery)
    junk = [shots[query.identity, query.camid] if query.identity is not None else 0 for query in queries]
    depth = min(top_k + max(junk, default=0), len(gallery))
    features = embed_all(explainer, [query.path for query in queries], "queries")
    distances, positions = index.search(features, depth)
    hits = [
        [(float(x), i) for i, x in zip(row, d, strict=True) if i >= 0 and not gallery[i].is_junk_for(query)][
            :top_k
        ]
        for query, row, d in zip(queries, positions.tolist(), distances.tolist(), strict=True)
    ]
    if not index.exact:
        hits = _by_whole_features(explainer, features, gallery, hits)
    cameras: dict[tuple[str, int] | None, set[int | None]] = defaultdict(set)
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


_Hits = list[list[tuple[float, int]]]


def _by_whole_features(
    explainer: PairExplainer, features: npt.NDArray[np.float32], gallery: Sequence[Photo], hits: _Hits
) -> _Hits:
    """The hits with their true distances, the nearest first: compressed ones are off and order near hits wrongly."""
    found = sorted({i for row in hits for _, i in row})
    if not found:
        return hits
    exact = embed_all(explainer, [gallery[i].path for i in found], "hits")
    place = {i: n for n, i in enumerate(found)}
    return [
        sorted((float(np.linalg.norm(query - exact[place[i]])), i) for _, i in row)
        for query, row in zip(features, hits, strict=True)
    ]


def rank_1(found: Sequence[Found]) -> float | None:
    """Share of the queries that can be answered whose nearest image is right, in per cent; None without any."""
    first = [entry.right[0] is True for entry in found if entry.possible and entry.photos]
    return 100 * sum(first) / len(first) if first else None


def choose_queries(found: Sequence[Found], number: int, seed: int = 0) -> list[tuple[Found, str]]:
    """The best, the worst and some random queries, each with a sentence; all of them where there are few."""
    if len(found) <= number:
        return [(entry, "") for entry in found]
    rated = sorted((entry for entry in found if entry.possible), key=lambda entry: -entry.margin)
    third = max(number // 3, 1) if rated else 0
    best, worst = rated[:third], rated[max(third, len(rated) - third) :][::-1]
    chosen = [(entry, "Among the queries that the model answers best.") for entry in best]
    chosen += [(entry, "Among the queries that the model answers worst.") for entry in worst]
    taken = {id(entry) for entry, _ in chosen}
    others = [entry for entry in found if id(entry) not in taken]
    picks = np.random.default_rng(seed).permutation(len(others))[: max(number - len(chosen), 0)]
    return (chosen + [(others[i], "Chosen at random.") for i in picks])[:number]
