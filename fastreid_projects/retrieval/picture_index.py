"""Find a person's pictures in a gallery with any model.

Example::

    from fastreid_projects.retrieval.picture_index import PictureIndex

    index = PictureIndex.build(extractor, "gallery/")        # a folder, a table, a dataset, a list
    index.save("gallery.faiss")
    index = PictureIndex.load("gallery.faiss", extractor)    # refused with other weights
    index.search("query.jpg", 10)                            # [Hit(picture, distance), ...]
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from fastreid_projects.data.feature_file import COLUMNS
from fastreid_projects.data.images import ImageLike
from fastreid_projects.data.sources import Picture, read_source
from fastreid_projects.errors import DataError, WeightsError
from fastreid_projects.evaluation.index import GalleryIndex
from fastreid_projects.extractor import Extractor, Features
from fastreid_projects.files import write_aside
from fastreid_projects.retrieval.rank_lists import Found, check_depth, find

Gallery: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"
_HEAD = ("number", *COLUMNS, "people", "state")


class Hit(NamedTuple):
    """A picture that was found.

    Attributes:
        picture: the picture in the gallery.
        distance: Euclidean distance of the features.
    """

    picture: Picture
    distance: float


class PictureIndex:
    """An index of the pictures in a gallery by their features.

    Args:
        extractor: computes the features.
        gallery: the index of the features.
        pictures: the pictures by their numbers in the index.
        states: sizes and times of their files at the time of indexing, by the same numbers.
    """

    def __init__(
        self,
        extractor: Extractor,
        gallery: GalleryIndex,
        pictures: dict[int, Picture],
        states: dict[int, str],
    ) -> None:
        self.extractor = extractor
        self.gallery = gallery
        self.pictures = pictures
        self._states = states

    @classmethod
    def build(
        cls,
        extractor: Extractor,
        images: Gallery,
        kind: str = "flat",
        *,
        progress: bool = False,
    ) -> PictureIndex:
        """Index pictures.

        Args:
            extractor: computes the features.
            images: a folder, a table, or a dataset, of which the gallery is used; or a list of pictures and folders.
            kind: see :meth:`.GalleryIndex.build`.
            progress: whether to show a progress bar on a terminal.

        Raises:
            ConfigError: the kind is unknown.
            DataError: a picture cannot be read, or there are too few for the kind.
        """
        pictures = _pictures(images)
        features = extractor(pictures, progress=progress)
        index = cls(extractor, GalleryIndex.build(features, kind, _key(extractor, kind)), {}, {})
        index._note(range(len(pictures)), pictures)
        return index

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def kind(self) -> str:
        """The kind of the index; see :meth:`.GalleryIndex.build`."""
        return self.gallery.key.rpartition(" ")[2]

    def _note(self, numbers: Iterable[int], pictures: Sequence[Picture]) -> None:
        for number, picture in zip(numbers, pictures, strict=True):
            self.pictures[number] = picture
            self._states[number] = _state(picture.path)

    def add(self, images: Gallery, *, progress: bool = False) -> None:
        """Add pictures; see :meth:`build`."""
        pictures = _pictures(images)
        self._note(self.gallery.add(self.extractor(pictures, progress=progress)), pictures)

    def remove(self, paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> int:
        """Remove pictures by their paths, or one by its path; return how many were removed."""
        wanted = {os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)}
        gone = [number for number, picture in self.pictures.items() if picture.path in wanted]
        self.gallery.remove(gone)
        for number in gone:
            del self.pictures[number], self._states[number]
        return len(gone)

    def follow(self, images: Gallery, *, progress: bool = False) -> tuple[int, int]:
        """Update the index to a gallery: add new and changed pictures, and remove those that no longer exist.

        Returns:
            The numbers of added and of removed pictures.

        Raises:
            DataError: see :meth:`build`.
        """
        wanted = {picture.path: picture for picture in _pictures(images)}
        kept = {
            picture.path
            for number, picture in self.pictures.items()
            if wanted.get(picture.path) == picture and self._states[number] == _state(picture.path)
        }
        new = [picture for path, picture in wanted.items() if path not in kept]
        removed = self.remove(
            [picture.path for picture in self.pictures.values() if picture.path not in kept]
        )
        if new:
            self.add(new, progress=progress)
        return len(new), removed

    def search(self, image: ImageLike, k: int = 10) -> list[Hit]:
        """Return the k pictures nearest to one, the nearest first; fewer if the gallery has fewer.

        Raises:
            DataError: the picture cannot be read.
        """
        query = Picture(os.fspath(image) if isinstance(image, str | os.PathLike) else "")
        depth = min(k, len(self))
        check_depth(depth, len(self))
        features = self.extractor([image])
        (found,) = find([query], self.pictures, features, self.gallery, depth, self._whole)
        return [Hit(*pair) for pair in zip(found.photos, found.distances, strict=True)]

    def rank(self, queries: Sequence[Picture], top_k: int, *, progress: bool = False) -> list[Found[Picture]]:
        """Rank the gallery for queries as the evaluation does, leaving out the same pictures.

        Raises:
            ConfigError: ``top_k`` is below 1 or more than the gallery has.
            DataError: a picture cannot be read.
        """
        check_depth(top_k, len(self))
        features = self.extractor(queries, progress=progress)
        return find(queries, self.pictures, features, self.gallery, top_k, self._whole)

    def _whole(self, numbers: Sequence[int]) -> Features:
        return self.extractor([self.pictures[number] for number in numbers])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write ``path`` and, beside it, ``path``.json and the pictures' names in ``path``.csv.

        Raises:
            DataError: the files cannot be written.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_HEAD)
        for number, p in self.pictures.items():
            known = [_text(p.pid), _text(p.camid)]
            writer.writerow([number, p.path, *known, p.people, self._states[number]])
        content = text.getvalue().encode("utf-8", "surrogateescape")
        self.gallery.facts["names"] = hashlib.sha256(content).hexdigest()
        write_aside(_names(path), content)
        return self.gallery.save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], extractor: Extractor) -> PictureIndex:
        """Read an index written by :meth:`save`.

        Raises:
            DataError: a file is missing or damaged.
            WeightsError: the index belongs to another model.
        """
        gallery = GalleryIndex.load(path)
        if gallery.key.rpartition(" ")[0] != _key(extractor, "").rpartition(" ")[0]:
            raise WeightsError(
                f"the index {os.fspath(path)} belongs to another model, or to another input size, metric or flip "
                "setting, so that its distances are not comparable; name another file, or remove it to build it again"
            )
        try:
            content = _names(path).read_bytes()
            if hashlib.sha256(content).hexdigest() != gallery.facts.get("names"):
                raise ValueError("it does not fit the index")
            rows = list(csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")))[1:]
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise DataError(
                f"the names of the index in {_names(path)} cannot be read: {reason}; remove the index to build it again"
            ) from error
        index = cls(extractor, gallery, {}, {})
        for number, file, pid, camid, people, state in rows:
            index.pictures[int(number)] = Picture(file, _value(pid), _value(camid), people=people)
            index._states[int(number)] = state
        return index


def _key(extractor: Extractor, kind: str) -> str:
    return f"{extractor.digest} {'unit' if extractor.normalize else 'plain'} {kind}"


def _names(path: str | os.PathLike[str]) -> Path:
    return Path(f"{os.fspath(path)}.csv")


def _pictures(images: Gallery) -> list[Picture]:
    if isinstance(images, Picture):
        return [images]
    if isinstance(images, str | os.PathLike):
        return read_source(images, "gallery")
    return [picture for image in images for picture in _one_or_folder(image)]


def _one_or_folder(image: str | os.PathLike[str]) -> list[Picture]:
    if isinstance(image, Picture):
        return [image]
    return read_source(image, "gallery") if os.path.isdir(image) else [Picture(os.fspath(image))]


def _state(path: str) -> str:
    """Return a file's size and time, which change with its content; "" if it does not exist."""
    try:
        stat = os.stat(path)
    except OSError:
        return ""
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _text(value: int | str | None) -> str:
    """Encode an identity or a camera as text: "" if not known, with a quote before what is text, not a number."""
    return "" if value is None else f"'{value}" if isinstance(value, str) else str(value)


def _value(text: str) -> int | str | None:
    """Decode a value encoded by :func:`_text`."""
    return None if not text else text[1:] if text[0] == "'" else int(text)
