"""Check own attributes, those of a folder of own pictures or of another dataset's identities, for the check command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastreid_projects.data.attributes import raw_pid
from fastreid_projects.data.datasets import build_dataset
from fastreid_projects.data.own.columns import OwnAttributes
from fastreid_projects.data.own.counts import count_attributes, counts_remarks, counts_table
from fastreid_projects.data.own.entries import Entry
from fastreid_projects.data.own.labels import (
    IDENTITIES,
    PERSON,
    Labels,
    folder_words,
    label_entries,
    label_identities,
    read_persons,
)
from fastreid_projects.data.own.words import HELP, WORDS, read_words
from fastreid_projects.errors import DataError

_PARTS = {"train": ("train",), "test": ("query", "gallery")}


def check_folder_attributes(folder: Path, entries: Sequence[Entry]) -> None:
    """Read the attributes of a folder of own pictures, if there are any, and print how often each occurs.

    Raises:
        DataError: the first thing that is wrong, with its file and line.
    """
    words = folder_words(folder)
    if words is None:
        others = list(entries[0].others) if entries else []
        if others:
            print(f"ignored columns: {', '.join(others)}; an {WORDS} turns them into attributes ({HELP})")
        return
    labels = label_entries(folder, entries, words)
    if (folder / IDENTITIES).is_file():
        pids = {entry.pid for entry in entries}
        _warn_of_strangers(
            row.cells[PERSON] for row in read_persons(folder).rows if row.cells[PERSON] not in pids
        )
    _print_counts(words, labels, [(entry.split, entry.pid) for entry in entries])


def check_identity_table(path: Path) -> None:
    """Read attributes of another dataset's identities and print how often each occurs there.

    Args:
        path: an ``attributes.yaml`` with ``people``, an ``attributes.csv`` beside it.

    Raises:
        DataError: the first thing that is wrong, with its file and line; or the dataset is missing.
        ConfigError: no dataset has the name that ``people`` gives.
    """
    words = read_words(path)
    if not words.people:
        raise DataError(
            f"{path} does not say whose identities its {IDENTITIES} names: add 'people: Market1501', or the name of "
            "another dataset; the attributes of a folder of own pictures are checked with the folder"
        )
    dataset = build_dataset(words.people)
    items = [(split, item[1]) for split in ("train", "query", "gallery") for item in getattr(dataset, split)]
    labels = label_identities(words, [pid for _, pid in items])
    _warn_of_strangers(_unused_rows(words, items))
    _print_counts(words, labels, items)


def _unused_rows(words: OwnAttributes, items: Iterable[tuple[str, Any]]) -> list[str]:
    """Return a sentence on the persons of the table that the dataset does not show; [] if there are none."""
    shown = {raw_pid(pid) for _, pid in items}
    rows = read_persons(Path(words.name).parent).rows
    return [row.cells[PERSON] for row in rows if int(row.cells[PERSON]) not in shown]


def _warn_of_strangers(names: Iterable[str]) -> None:
    found = list(names)
    if found:
        some = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        persons = "person of attributes.csv is" if len(found) == 1 else "persons of attributes.csv are"
        print(f"warning: {len(found)} {persons} on no picture ({some})")


def _print_counts(words: OwnAttributes, labels: Labels, items: Sequence[tuple[str, Any]]) -> None:
    parts = {}
    for name, splits in _PARTS.items():
        chosen = np.array([split in splits for split, _ in items], dtype=bool)
        pids = [pid for split, pid in items if split in splits]
        parts[name] = count_attributes(labels[chosen], pids)
    for sentence in counts_remarks(words, parts):
        print(f"warning: {sentence}")
    print(f"attributes: {len(words.columns)} columns of {WORDS} make {len(words)} attributes")
    print(counts_table(words, parts))
