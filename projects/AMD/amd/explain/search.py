"""Find the gallery images that the target considers nearest to a query.

| letter | meaning                       |
| ------ | ----------------------------- |
| D      | size of the target's feature  |
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from fastreid_projects.evaluation.index import GalleryIndex, gallery_key
from fastreid_projects.retrieval.rank_lists import Found, check_depth, find

from ..build import target_config
from .pairs import PairExplainer
from .sources import Photo

_BATCH = 64


def embed_all(explainer: PairExplainer, paths: Sequence[str], what: str) -> npt.NDArray[np.float32]:
    """Return the target's features of many images, (images, D), with a progress bar.

    Raises:
        DataError: an image cannot be read; the message names it.
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
    """Return the gallery's index: read from ``path`` if it is of these images and this model, else built and saved.

    Args:
        explainer: computes the features.
        gallery: the gallery images.
        path: the index file, or None to save none.
        kind: kind of the index, see :meth:`GalleryIndex.build`.
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
    """Return a text that changes with everything that changes a feature: weights, target, input, and comparison."""
    with open(cfg.MODEL.WEIGHTS, "rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    amd = cfg.MODEL.META_ARCHITECTURE == "AMD"
    target = target_config(cfg).MODEL if amd else cfg.MODEL.clone()
    target.defrost()
    target.DEVICE = target.WEIGHTS = ""
    own = (cfg.MODEL.AMD.NECK_FEAT, cfg.MODEL.AMD.NORMALIZE) if amd else ()
    words = (*own, cfg.TEST.METRIC, cfg.TEST.FLIP.ENABLED)
    return "\n".join([weights, target.dump(), cfg.INPUT.dump(), *map(str, words)])


def search(
    explainer: PairExplainer,
    queries: Sequence[Photo],
    gallery: Sequence[Photo],
    index: GalleryIndex,
    top_k: int,
) -> list[Found[Photo]]:
    """Return the top k images of every query; those found by a compressed index are ordered by their full features.

    Raises:
        ConfigError: ``top_k`` is below 1 or more than the gallery has.
    """
    check_depth(top_k, len(gallery))
    features = embed_all(explainer, [query.path for query in queries], "queries")

    def whole(numbers: Sequence[int]) -> npt.NDArray[np.float32]:
        return embed_all(explainer, [gallery[number].path for number in numbers], "hits")

    return find(queries, dict(enumerate(gallery)), features, index, top_k, whole)
