"""What is read of a folder of own pictures, and what is left out."""

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
MOST_DIGITS = 9  # of a camera or a person that is a number
Item = tuple[str, Any, Any]


class Entry(NamedTuple):
    """One picture.

    Attributes:
        path: of the file.
        pid: the person, any text.
        camid: the camera, any text.
        split: one of ``SPLITS``.
        where: the row or file, for errors.
        others: what stands in the table's other columns, by their names in small letters.
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
        entries: what is read.
        left_out: (why, path) of each file or folder that is not.
        junk: pictures of the person -1 in query and gallery, which are not read, as in Market-1501.
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
    """See that no person and no camera is written in two ways, as 01 and 1, or 1 and 1.0.

    Raises:
        DataError: names both, with their rows or files.
    """
    persons = [(entry.pid, entry.where) for entry in entries]
    cameras = [(entry.camid, entry.where) for entry in entries]
    for kind, found in (("person", persons), ("camera", cameras)):
        seen: dict[str, tuple[str, str]] = {}
        for text, where in found:
            first, there = seen.setdefault(_plain(text), (text, where))
            if first != text:
                raise DataError(
                    f"{where} has the {kind} '{text}' and {there} '{first}': write both alike where they are the same, "
                    "and by other letters where they are not"
                )


def _plain(text: str) -> str:
    """A number without leading zeros and without a fraction of zeros; any other text as it is."""
    match = re.fullmatch(r"0*(\d+)(?:\.0+)?", text)
    return match[1] if match else text


def numbered(entries: Sequence[Entry], name: str) -> dict[str, list[Item]]:
    """Return items (path, identity, camera) by split, as a host's dataset wants them.

    Args:
        entries: what is read.
        name: of the dataset; it leads the texts that training identities and cameras are. In tests they are numbers.
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
    """Return each text's number: its own where all are numbers that fit, else its place in the order."""
    names = sorted(set(texts))
    if all(name.isdecimal() and len(name) <= MOST_DIGITS for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(names)}


def remarks(pictures: Pictures, folder: str) -> list[str]:
    """Return a sentence for each kind of files that are left out, and for people of both sides.

    Args:
        pictures: what was read.
        folder: where; what lies there is named by the rest of its path.
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
            f"{'is' if len(twice) == 1 else 'are'} in query or gallery, too ({_some(twice)}): a model knows "
            "them, and its scores are too good; give each person to one side"
        )
    return said


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
