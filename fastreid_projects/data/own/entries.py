"""The pictures that are read from a folder of own pictures, and those that are left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from fastreid_projects.errors import DataError

TABLE = "labels.csv"
SPLITS = ("train", "query", "gallery")
NO_CAMERA = "0"
JUNK = "-1"
MOST_DIGITS = 9  # digits of a number that is a camera or a person
Item = tuple[str, Any, Any]


class Entry(NamedTuple):
    """One picture.

    Attributes:
        path: path of the file.
        pid: the person, any text.
        camid: the camera, any text.
        split: one of ``SPLITS``.
        where: the row or file, for errors.
        others: the cells in the table's other columns, by the columns' names in lower case.
    """

    path: str
    pid: str
    camid: str
    split: str
    where: str
    others: Mapping[str, str] = MappingProxyType({})


class Pictures(NamedTuple):
    """A folder of own pictures.

    Attributes:
        entries: the pictures that are read.
        left_out: (reason, path) of each file or folder that is not read.
        junk: number of pictures of the person -1 in query and gallery, which are not read, as in Market-1501.
    """

    entries: list[Entry]
    left_out: list[tuple[str, str]]
    junk: int = 0


def without_junk(pictures: Pictures) -> Pictures:
    """Leave out the person -1."""
    kept = [entry for entry in pictures.entries if entry.pid != JUNK]
    junk = [entry for entry in pictures.entries if entry.pid == JUNK]
    why = "of the person -1, junk as in Market-1501"
    left_out = [*pictures.left_out, *((why, entry.path) for entry in junk)]
    return Pictures(kept, left_out, sum(entry.split != "train" for entry in junk))


def check_spelling(entries: Sequence[Entry]) -> None:
    """Check that no person and no camera is spelled in two ways, such as 01 and 1, or 1 and 1.0.

    Raises:
        DataError: one is; the message names both spellings with their rows or files.
    """
    persons = [(entry.pid, entry.where) for entry in entries]
    cameras = [(entry.camid, entry.where) for entry in entries]
    for kind, found in (("person", persons), ("camera", cameras)):
        seen: dict[str, tuple[str, str]] = {}
        for text, where in found:
            first, there = seen.setdefault(_plain(text), (text, where))
            if first != text:
                raise DataError(
                    f"{where} has the {kind} '{text}' and {there} '{first}': spell both alike if they are the same, "
                    "and with different letters if they are not"
                )


def _plain(text: str) -> str:
    """Return a number without leading zeros and without a fraction of zeros; any other text unchanged."""
    match = re.fullmatch(r"0*(\d+)(?:\.0+)?", text)
    return match[1] if match else text


def numbered(entries: Sequence[Entry], name: str) -> dict[str, list[Item]]:
    """Return items (path, identity, camera) by split, in the form of the host's datasets.

    Args:
        entries: the pictures.
        name: name of the dataset, with which training identities and cameras start; in tests, both are numbers.
    """
    people = numbers(entry.pid for entry in entries)
    cameras = numbers(entry.camid for entry in entries)
    items: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for entry in entries:
        pid, camid = people[entry.pid], cameras[entry.camid]
        training = entry.split == "train"
        items[entry.split].append(
            (entry.path, f"{name}_{pid}", f"{name}_{camid}") if training else (entry.path, pid, camid)
        )
    return items


def numbers(texts: Iterable[str]) -> dict[str, int]:
    """Return a number for each text: its own if all texts are small enough numbers, else its position when sorted."""
    names = sorted(set(texts))
    if all(name.isdecimal() and len(name) <= MOST_DIGITS for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(names)}


def remarks(pictures: Pictures, folder: str) -> list[str]:
    """Return a sentence for each kind of files that are left out, and for people in both training and test.

    Args:
        pictures: the pictures.
        folder: their folder; paths are printed relative to it.
    """
    reasons: dict[str, list[str]] = {}
    for why, path in pictures.left_out:
        reasons.setdefault(why, []).append(path.removeprefix(folder).lstrip("/\\"))
    said = [
        f"{len(paths)} file{' is' if len(paths) == 1 else 's are'} left out: {why} ({_some(paths)})"
        for why, paths in reasons.items()
    ]
    trained = {entry.pid for entry in pictures.entries if entry.split == "train"}
    twice = sorted(trained & {entry.pid for entry in pictures.entries if entry.split != "train"})
    if twice:
        said.append(
            f"{len(twice)} {'person' if len(twice) == 1 else 'people'} of the split train "
            f"{'is' if len(twice) == 1 else 'are'} in query or gallery, too ({_some(twice)}): a model has seen them in "
            "training, so its scores are too good; put each person on one side only"
        )
    return said


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
