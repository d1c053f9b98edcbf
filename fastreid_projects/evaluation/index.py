"""A searchable gallery: faiss, flat or compressed, on the GPU where there is one, kept on disk.

| letter | meaning                        |
| ------ | ------------------------------ |
| Q, G   | number of query, gallery images |
| D      | feature size                   |
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.files import write_aside

KINDS = ("flat", "ivfpq")
Features = npt.NDArray[np.float32]
# Product quantisation has 256 centres for each part of a feature; faiss wants 39 examples of each.
_CENTRES = 256
_LEAST = 39 * _CENTRES
_PARTS = 64


@dataclass
class GalleryIndex:
    """Features of a gallery, to be searched by Euclidean distance.

    Attributes:
        index: faiss' own index, on the CPU.
        key: what the features belong to: images, weights and kind. Two indices with the same key are the same.
    """

    index: Any
    key: str = ""

    @classmethod
    def build(cls, features: Features, kind: str = "flat", key: str = "") -> GalleryIndex:
        """Index a gallery.

        Args:
            features: (G, D).
            kind: "flat" compares with every image, exactly; "ivfpq" keeps 64 bytes an image and looks at the nearest
                cells alone: approximate, for galleries of hundreds of thousands.
            key: see the attributes.

        Raises:
            ConfigError: the kind is unknown.
            DataError: the gallery is too small for "ivfpq".
        """
        features = np.ascontiguousarray(features, dtype=np.float32)
        index = _empty(features.shape, kind)
        device = _on_gpu(index)
        if not device.is_trained:
            device.train(features)
        device.add(features)
        return cls(faiss.index_gpu_to_cpu(device) if device is not index else index, key)

    @property
    def exact(self) -> bool:
        """Whether it compares whole features, not compressed ones."""
        return isinstance(self.index, faiss.IndexFlat)

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def search(self, queries: Features, k: int) -> tuple[Features, npt.NDArray[np.int64]]:
        """The k nearest gallery images of each query.

        Args:
            queries: (Q, D).
            k: 1..G.

        Returns:
            Euclidean distances (Q, k), ascending, and positions in the gallery (Q, k); -1 where a compressed index
            finds fewer than k.

        Raises:
            ConfigError: k is not within 1..G.
            DataError: the features have another size.
        """
        if not 1 <= k <= len(self):
            raise ConfigError(f"the top {k} were asked for, but the gallery has {len(self)} images")
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.index.d:
            raise DataError(
                f"query features of shape {queries.shape} do not fit a gallery of {self.index.d}-d features"
            )
        squared, positions = _on_gpu(self.index).search(queries, k)
        return np.sqrt(np.maximum(squared, 0)), positions

    def save(self, path: str | Path) -> Path:
        """Write ``path`` and, beside it, ``path``.json with the key.

        Raises:
            DataError: the path cannot be written.
        """
        path = Path(path)
        content = faiss.serialize_index(self.index).tobytes()
        meta = {"key": self.key, "images": len(self), "sha256": hashlib.sha256(content).hexdigest()}
        write_aside(path, content)
        write_aside(_meta(path), json.dumps(meta, indent=1).encode())
        return path

    @classmethod
    def load(cls, path: str | Path) -> GalleryIndex:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: a file is missing or damaged.
        """
        path = Path(path)
        try:
            content = path.read_bytes()
            meta = json.loads(_meta(path).read_text(encoding="utf-8"))
            if hashlib.sha256(content).hexdigest() != meta["sha256"]:
                raise ValueError("it does not fit its .json")
            index = faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise DataError(
                f"the index {path} cannot be read: {reason}; remove it and it is built again"
            ) from error
        return cls(index, meta["key"])

    @classmethod
    def load_if_current(cls, path: str | Path, key: str) -> GalleryIndex | None:
        """The index at ``path`` if there is a whole one with this key; None where it has to be built again."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(_meta(Path(path)).read_text(encoding="utf-8"))["key"] == key:
                return cls.load(path)
        return None


def gallery_key(paths: Sequence[str], *parts: str) -> str:
    """A short text that changes with the images (names, sizes, times) and with any of ``parts``."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    for path in paths:
        stat = os.stat(path)
        digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _empty(shape: tuple[int, ...], kind: str) -> Any:
    count, size = shape
    if kind not in KINDS:
        raise ConfigError(f"the index kind is '{kind}'; it has to be {' or '.join(KINDS)}")
    if kind == "flat":
        return faiss.IndexFlatL2(size)
    if count < _LEAST:
        raise DataError(
            f"an ivfpq index is trained on at least {_LEAST} images, but the gallery has {count}; take 'flat'"
        )
    cells = max(1, min(round(4 * math.sqrt(count)), count // 39))
    parts = max(n for n in range(1, min(_PARTS, size) + 1) if size % n == 0)
    index = faiss.IndexIVFPQ(faiss.IndexFlatL2(size), size, cells, parts, 8)
    index.nprobe = max(1, cells // 16)
    return index


def _on_gpu(index: Any) -> Any:
    """The index on all GPUs, or itself where there is none."""
    if getattr(faiss, "get_num_gpus", int)() == 0:
        return index
    return faiss.index_cpu_to_all_gpus(index)


def _meta(path: Path) -> Path:
    return path.with_name(path.name + ".json")
