"""A searchable gallery on disk with faiss: flat, compressed or as a graph, on the GPU if there is one.

| letter | meaning                        |
| ------ | ------------------------------ |
| Q, G   | number of query, gallery images |
| D      | feature size                   |
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.files import write_aside

KINDS = ("flat", "ivfpq", "hnsw")
Features = npt.NDArray[np.float32]
logger = logging.getLogger("fastreid.projects.index")
_faiss: Any = faiss  # its type stubs lack the parameters of HNSW
# Product quantisation has 256 centres for each part of a feature; faiss needs 39 examples of each.
_CENTRES = 256
_LEAST = 39 * _CENTRES
_PARTS = 64
# HNSW: the number of links of an image, and of the candidates kept during building and during search.
_LINKS, _SIGHT_BUILD, _SIGHT = 32, 200, 128
_MOST_ON_GPU = 2048  # the most neighbours that faiss finds on a GPU


@dataclass
class GalleryIndex:
    """The features of a gallery, which is searched by Euclidean distance.

    Images are numbered from 0 in the order in which they were added; a number is not used twice.

    Attributes:
        index: the index of faiss, on the CPU, which knows the images by their numbers.
        key: a text for what the features depend on: images, weights and kind. Indices with the same key are equal.
        next_number: the number of the next image.
        removed: the numbers of images that a graph still holds but does not return.
        facts: any other values to keep with the index.
    """

    index: Any
    key: str = ""
    next_number: int = 0
    removed: set[int] = field(default_factory=set)
    facts: dict[str, Any] = field(default_factory=dict)
    _device: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def build(cls, features: Features, kind: str = "flat", key: str = "") -> GalleryIndex:
        """Index a gallery.

        Args:
            features: (G, D).
            kind: "flat" compares with every image and is exact; "hnsw" walks a graph of neighbours, which is nearly
                exact, fast for single queries, and takes 256 more bytes for each image; "ivfpq" keeps 64 bytes for
                each image and searches only the nearest cells: approximate, for galleries that are too large otherwise.
            key: see the attributes.

        Raises:
            ConfigError: the kind is unknown.
            DataError: the gallery is too small for "ivfpq".
        """
        features = np.ascontiguousarray(features, dtype=np.float32)
        index = _empty(features.shape, kind)
        if not index.is_trained:
            device = _on_gpu(index)
            device.train(features)
            index = faiss.index_gpu_to_cpu(device) if device is not index else index
        built = cls(index, key)
        built.add(features)
        return built

    def add(self, features: Features) -> range:
        """Add images; "ivfpq" keeps the cells of its first images.

        Args:
            features: (G, D).

        Returns:
            The numbers of the images.

        Raises:
            DataError: the features have the wrong size.
        """
        features = self._fitting(features, "new")
        numbers = range(self.next_number, self.next_number + len(features))
        self.index.add_with_ids(features, np.arange(numbers.start, numbers.stop))
        self.next_number, self._device = numbers.stop, None
        return numbers

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove images by their numbers; unknown numbers are ignored."""
        gone = sorted({int(number) for number in numbers} - self.removed)
        self._device = None
        if _is_graph(self.index):
            self.removed.update(number for number in gone if 0 <= number < self.next_number)
            if 2 * len(self.removed) > self.index.ntotal:  # most paths lead through removed images
                self.index, self.removed = _without(self.index, self.removed), set()
        else:
            self.index.remove_ids(np.array(gone, dtype=np.int64))

    @property
    def exact(self) -> bool:
        """Whether the distances are those of whole features, not of compressed ones."""
        return not isinstance(_inner(self.index), faiss.IndexIVFPQ)

    def __len__(self) -> int:
        return int(self.index.ntotal) - len(self.removed)

    def search(self, queries: Features, k: int) -> tuple[Features, npt.NDArray[np.int64]]:
        """Return the k nearest gallery images of each query.

        Args:
            queries: (Q, D).
            k: 1..G.

        Returns:
            Euclidean distances (Q, k), ascending, and the numbers of the images (Q, k); -1 if "ivfpq" or "hnsw" finds
            fewer than k.

        Raises:
            ConfigError: k is not within 1..G.
            DataError: the features have the wrong size.
        """
        if not 1 <= k <= len(self):
            raise ConfigError(f"the top {k} were requested, but the gallery has {len(self)} images")
        queries = self._fitting(queries, "query")
        squared, numbers = self._where(k).search(queries, k, params=self._parameters(k))
        return np.sqrt(np.maximum(squared, 0)), numbers

    def _where(self, k: int) -> Any:
        """Return the index that finds the k nearest: the one on the GPUs unless k is too much for them."""
        if k > _MOST_ON_GPU:
            return self.index
        if self._device is None:
            self._device = _on_gpu(self.index)
        return self._device

    def _fitting(self, features: Features, what: str) -> Features:
        features = np.ascontiguousarray(features, dtype=np.float32)
        if features.ndim != 2 or features.shape[1] != self.index.d:
            raise DataError(
                f"{what} features of shape {features.shape} do not fit a gallery of {self.index.d}-d features"
            )
        return features

    def _parameters(self, k: int) -> Any:
        """Return the parameters of a search in a graph: enough candidates for k, and the images not to return."""
        if not _is_graph(self.index):
            return None
        sight = max(_SIGHT, 2 * k)
        if not self.removed:
            return _faiss.SearchParametersHNSW(efSearch=sight)
        gone = faiss.IDSelectorBatch(np.array(sorted(self.removed), dtype=np.int64))
        return _faiss.SearchParametersHNSW(efSearch=sight, sel=faiss.IDSelectorNot(gone))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write ``path`` and, beside it, ``path``.json with the key.

        Raises:
            DataError: the path cannot be written.
        """
        path = Path(path)
        content = faiss.serialize_index(self.index).tobytes()
        meta = {
            "key": self.key,
            "images": len(self),
            "next_number": self.next_number,
            "removed": sorted(self.removed),
            "sha256": hashlib.sha256(content).hexdigest(),
            **self.facts,
        }
        write_aside(path, content)
        write_aside(_meta(path), json.dumps(meta, indent=1).encode())
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> GalleryIndex:
        """Read an index written by :meth:`save`.

        Raises:
            DataError: a file is missing or damaged.
        """
        path = Path(path)
        try:
            content = path.read_bytes()
            meta = json.loads(_meta(path).read_text(encoding="utf-8"))
            if hashlib.sha256(content).hexdigest() != meta["sha256"]:
                raise ValueError("it does not match its .json")
            index = faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))
            own = ("key", "images", "next_number", "removed", "sha256")
            facts = {name: value for name, value in meta.items() if name not in own}
            return cls(index, meta["key"], int(meta["next_number"]), set(meta["removed"]), facts)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            if isinstance(error, FileNotFoundError):
                reason = f"{error.filename} does not exist"
            raise DataError(
                f"the index {path} cannot be read: {reason}; name an index, or remove it and it will be built again"
            ) from error

    @classmethod
    def load_if_current(cls, path: str | Path, key: str) -> GalleryIndex | None:
        """Return the index at ``path`` if it is complete and has this key; None if it has to be built again."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            meta = json.loads(_meta(Path(path)).read_text(encoding="utf-8"))
            if meta["key"] == key and "next_number" in meta:  # not written by an earlier version
                return cls.load(path)
        return None


def gallery_key(paths: Sequence[str], *parts: str) -> str:
    """Return a short text that changes with the images (names, sizes, times) and with any of ``parts``."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    for path in paths:
        stat = os.stat(path)
        digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _empty(shape: tuple[int, ...], kind: str) -> Any:
    count, size = shape
    if kind not in KINDS:
        raise ConfigError(f"the index kind is '{kind}'; it has to be {' or '.join(KINDS)}")
    if kind == "flat":
        return faiss.IndexIDMap2(faiss.IndexFlatL2(size))
    if kind == "hnsw":
        graph = faiss.IndexHNSWFlat(size, _LINKS)
        graph.hnsw.efConstruction = _SIGHT_BUILD
        return faiss.IndexIDMap2(graph)
    if count < _LEAST:
        raise DataError(
            f"an ivfpq index is trained on at least {_LEAST} images, but the gallery has {count}; use 'flat'"
        )
    cells = max(1, min(round(4 * math.sqrt(count)), count // 39))
    parts = max(n for n in range(1, min(_PARTS, size) + 1) if size % n == 0)
    index = faiss.IndexIVFPQ(faiss.IndexFlatL2(size), size, cells, parts, 8)
    index.nprobe = max(1, cells // 16)
    return index


def _inner(index: Any) -> Any:
    """Return the part of an index that holds the features."""
    return faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap2) else index


def _is_graph(index: Any) -> bool:
    """Return whether an index is an HNSW, for which faiss supports neither removal nor GPUs."""
    return isinstance(_inner(index), faiss.IndexHNSW)


def _without(index: Any, removed: set[int]) -> Any:
    """Build a graph of the images that are not removed, under their numbers."""
    numbers = faiss.vector_to_array(index.id_map)
    kept = np.nonzero(~np.isin(numbers, list(removed)))[0]
    rebuilt = _empty((len(kept), index.d), "hnsw")
    features = _inner(index).reconstruct_batch(kept.astype(np.int64))
    rebuilt.add_with_ids(features, numbers[kept])
    return rebuilt


def _on_gpu(index: Any) -> Any:
    """Return the index on all GPUs, or the index itself if there are none or it does not fit them."""
    if getattr(faiss, "get_num_gpus", int)() == 0 or _is_graph(index):
        return index
    options = _faiss.GpuMultipleClonerOptions()
    # The tables of 64 parts in float32 take 64 KiB, more than the 48 KiB of a block. A flat index stays exact.
    options.useFloat16 = isinstance(_inner(index), faiss.IndexIVFPQ)
    try:
        return _faiss.index_cpu_to_all_gpus(index, options)
    except RuntimeError as error:  # memory, or a number of parts that faiss has no GPU kernel for
        reason = " ".join(str(error).split())
        logger.warning("the gallery is searched on the CPU, as faiss cannot use the GPU: %s", reason)
        return index


def _meta(path: Path) -> Path:
    return path.with_name(path.name + ".json")
