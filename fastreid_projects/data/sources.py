"""Read the pictures that a command is given: files, folders, tables, registered datasets."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastreid_projects.contract import SharesPeople
from fastreid_projects.data.images import is_picture, opens
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.files import visible_files

PARTS = ("train", "query", "gallery")


@dataclass(frozen=True)
class Picture:
    """A picture in a file with its labels.

    Attributes:
        path: path of the file.
        pid: the person; None if not known, 0 and below for distractors.
        camid: the camera; None if not known.
        people: the dataset that ``pid`` belongs to, which may share its people with another dataset.
    """

    path: str
    pid: int | str | None = None
    camid: int | str | None = None
    people: str = field(default="", kw_only=True)

    def __fspath__(self) -> str:
        return self.path

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).name

    @property
    def person(self) -> str:
        """The person as text; "" if not known, or a distractor."""
        return "" if self.pid is None or _is_stranger(self.pid) else str(self.pid)

    @property
    def identity(self) -> tuple[str, int | str] | None:
        """The identity among the people of all datasets; None if not known."""
        return None if self.pid is None else (self.people, self.pid)

    def shows(self, other: Picture) -> bool | None:
        """Return whether both show the same person; None if not known, as for people of different datasets."""
        if self.pid is None or other.pid is None or self.people != other.people:
            return None
        return self.pid == other.pid

    def is_junk_for(self, query: Picture) -> bool:
        """Return whether the protocol leaves it out: it is the query, or shows its person by the same camera."""
        return bool(self.shows(query)) and (self.camid == query.camid or self.path == query.path)


def pictures_below(folder: str | os.PathLike[str]) -> list[str]:
    """Return the paths of all pictures in a folder and its subfolders, sorted by name.

    Hidden files and folders are not meant: file managers write ``._a.jpg`` beside ``a.jpg``. Links are followed.

    Raises:
        DataError: there are none.
    """
    found = [Path(here, name) for here, names in visible_files(folder) for name in names if is_picture(name)]
    pictures = sorted(path for path in found if path.is_file())
    if not pictures:
        raise DataError(f"the folder {os.fspath(folder)} does not hold any image that Pillow can read")
    return [str(picture) for picture in pictures]


def read_source(source: str | os.PathLike[str], *parts: str) -> list[Picture]:
    """Return the pictures of a file, table, folder or dataset.

    Args:
        source: a picture, whatever its file name; a table of own pictures; a folder, searched with its subfolders and
            sorted by name; or a registered dataset or ``FolderReID:name``.
        parts: the parts of a dataset or table to read: "train", "query", "gallery".

    Raises:
        DataError: there are no pictures, or the dataset is not found.
        ConfigError: there is no file, folder or dataset of this name.
    """
    source = os.fspath(source)
    if os.path.isfile(source):
        return [Picture(source)] if is_picture(source) or opens(source) else _of_table(source, parts)
    if os.path.isdir(source):
        return [Picture(path) for path in pictures_below(source)]
    return read_dataset(source, *parts)[1]


def is_own_dataset(folder: str) -> bool:
    """Return whether a folder has own pictures with queries and gallery: by a table, or by both subfolders."""
    from fastreid_projects.data.own.entries import TABLE

    return os.path.isfile(os.path.join(folder, TABLE)) or all(
        os.path.isdir(os.path.join(folder, part)) for part in PARTS[1:]
    )


def read_dataset(name: str, *parts: str) -> tuple[Any, list[Picture]]:
    """Build a dataset; return it with its pictures.

    Args:
        name: a registered name, ``FolderReID:name``, or the full path of a folder of own pictures.
        parts: see :func:`read_source`.

    Raises:
        DataError: the dataset is not found.
        ConfigError: no dataset has this name.
    """
    from fastreid.data.datasets import (
        DATASET_REGISTRY,
    )  # imported here, as commands import this module to print their help

    from fastreid_projects.data.datasets import build_dataset
    from fastreid_projects.data.own.names import NAME

    own = name.startswith(f"{NAME}:") or (os.path.isabs(name) and os.path.isdir(name))
    if name not in DATASET_REGISTRY._obj_map and not own:
        raise ConfigError(f"'{name}' is neither an image, a folder nor a registered dataset")
    dataset = build_dataset(name)
    people = dataset.people if isinstance(dataset, SharesPeople) else name
    items = [item for part in parts for item in getattr(dataset, part)]
    return dataset, [
        Picture(str(item[0]), _number(item[1]), _number(item[2]), people=people) for item in items
    ]


def _of_table(path: str, parts: tuple[str, ...]) -> list[Picture]:
    from fastreid_projects.data.own.entries import check_spelling, without_junk
    from fastreid_projects.data.own.table import read_table

    pictures = without_junk(read_table(Path(path)))
    check_spelling(pictures.entries)
    found = [entry for entry in pictures.entries if entry.split in parts]
    if not found:
        raise DataError(f"the table {path} has no pictures of the split {' or '.join(parts)}")
    return [Picture(entry.path, entry.pid, entry.camid, people=path) for entry in found]


def _number(value: Any) -> int | str:
    """Return an identity or a camera: text in training, a number in tests."""
    return value if isinstance(value, str) else int(value)


def read_labelled(source: str | os.PathLike[str], *parts: str) -> list[Picture]:
    """Return the pictures of known persons, each file once, without distractors (0000, and 0 and below).

    Args:
        source: see :func:`read_source`; a folder has own pictures, or a subfolder for each person.
        parts: parts of a dataset, a table or a folder of own pictures.

    Raises:
        DataError: no person is known; see also :func:`read_source`.
        ConfigError: see :func:`read_source`.
    """
    found = _of_folder(Path(source), parts) if os.path.isdir(source) else read_source(source, *parts)
    known = {p.path: p for p in found if p.pid is not None and p.pid != "0000" and not _is_stranger(p.pid)}
    if not known:
        raise DataError(
            f"{os.fspath(source)} does not say who is in its pictures: name a dataset, a table, or a folder with one "
            "folder per person"
        )
    return list(known.values())


def _is_stranger(pid: int | str) -> bool:
    return isinstance(pid, int) and pid <= 0


def _of_folder(folder: Path, parts: tuple[str, ...]) -> list[Picture]:
    """Return own pictures by their table or splits, or else by the subfolder of each person."""
    from fastreid_projects.data.own.cameras import camera_of
    from fastreid_projects.data.own.entries import TABLE

    if (folder / TABLE).is_file():
        return _of_table(str(folder / TABLE), parts)
    if any((folder / part).is_dir() for part in parts):
        from fastreid_projects.data.own.tree import read_folders

        entries = [entry for entry in read_folders(folder).entries if entry.split in parts]
        return [Picture(entry.path, entry.pid, entry.camid, people=str(folder)) for entry in entries]
    found = []
    for path in pictures_below(folder):
        person, *deeper = Path(path).relative_to(folder).parts
        if deeper:
            found.append(Picture(path, person, camera_of(deeper, path), people=str(folder)))
    return found
