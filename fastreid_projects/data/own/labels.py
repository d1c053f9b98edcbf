"""Attributes of own pictures: the values in ``labels.csv`` and ``attributes.csv`` beside an ``attributes.yaml``.

| letter | meaning              |
| ------ | -------------------- |
| M      | number of attributes |

``attributes.csv`` has a row for each identity, with the column ``pid`` and the columns of ``attributes.yaml``. In a
folder of own pictures, each column is there or in ``labels.csv``. A cell that is empty, ``?`` or ``-1`` is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastreid_projects.data.attributes import UNKNOWN, raw_pid
from fastreid_projects.data.own.columns import Column, OwnAttributes
from fastreid_projects.data.own.entries import TABLE, Entry
from fastreid_projects.data.own.table import Row, Table, read_rows
from fastreid_projects.data.own.words import HELP, WORDS, read_words
from fastreid_projects.errors import DataError

IDENTITIES = "attributes.csv"
PERSON = "pid"
Labels = NDArray[np.int8]


def folder_words(folder: Path) -> OwnAttributes | None:
    """Return the attributes of a folder of own pictures; None if it has no ``attributes.yaml``.

    Raises:
        DataError: see :func:`fastreid_projects.data.own.words.read_words`; or there is only an ``attributes.csv``.
    """
    if (folder / WORDS).is_file():
        return read_words(folder / WORDS)
    if (folder / IDENTITIES).is_file():
        raise DataError(f"{folder} holds {IDENTITIES}, but no {WORDS} that describes its columns ({HELP})")
    return None


def label_entries(folder: Path, entries: Sequence[Entry], words: OwnAttributes) -> Labels:
    """Return the attributes of own pictures, int8 (len(entries), M) of 0, 1 or -1 (unknown).

    A value of an identity-level attribute applies to all pictures of the person; it is enough to write it in one row.

    Raises:
        DataError: a column is missing, unknown or in both tables, a value is not in ``attributes.yaml``, or a person or
            picture has two values. The message names file and line.
    """
    names = list(entries[0].others) if entries else []
    persons = read_persons(folder) if (folder / IDENTITIES).is_file() else Table([], [])
    _check_columns(folder / TABLE, names, words)
    _check_columns(folder / IDENTITIES, persons.names, words)
    labels = np.full((len(entries), len(words)), UNKNOWN, dtype=np.int8)
    for column in words.columns if entries else ():
        here, there = column.key in names, column.key in persons.names
        if here and there:
            raise DataError(
                f"the column '{column.name}' is in both {TABLE} and {IDENTITIES} of {folder}; remove one of them"
            )
        if not here and not there:
            raise _missing(folder, column, [*names, *persons.names])
        keys = [entry.path if here and column.level == "image" else entry.pid for entry in entries]
        rows = [(key, Row(entry.where, entry.others)) for key, entry in zip(keys, entries, strict=True)]
        found = _values(column, rows if here else [(row.cells[PERSON], row) for row in persons.rows])
        for number, key in enumerate(keys):
            if key in found:
                labels[number, column.places] = found[key]
    return labels


def label_identities(words: OwnAttributes, pids: Iterable[int | str]) -> Labels:
    """Return the attributes of another dataset's identities, from the ``attributes.csv`` beside the words.

    Args:
        words: the attributes of that dataset's people.
        pids: numbers, or FastReID's training labels such as "market1501_12".

    Returns:
        int8 (number of pids, M); all values of an identity without a row are unknown.

    Raises:
        DataError: the table does not exist; see also :func:`label_entries`.
    """
    folder = Path(words.name).parent
    persons = read_persons(folder, _number)
    _check_columns(folder / IDENTITIES, persons.names, words)
    unknown = np.full(len(words), UNKNOWN, dtype=np.int8)
    by_pid = {_number(row): unknown.copy() for row in persons.rows}
    for column in words.columns:
        if column.key not in persons.names:
            raise _missing(folder, column, persons.names)
        for key, value in _values(column, [(_number(row), row) for row in persons.rows]).items():
            by_pid[key][column.places] = value
    labels = [by_pid.get(str(raw_pid(pid)), unknown) for pid in pids]
    return np.stack(labels) if labels else np.empty((0, len(words)), np.int8)


def read_persons(folder: Path, person_of: Callable[[Row], str] = lambda row: row.cells[PERSON]) -> Table:
    """Read an ``attributes.csv``.

    Args:
        folder: folder of the file.
        person_of: returns the person of a row; two rows may not have the same one.

    Raises:
        DataError: the file does not exist, a row has no person, or two rows have the same one.
    """
    table = folder / IDENTITIES
    if not table.is_file():
        raise DataError(
            f"{table} does not exist: the {WORDS} beside it needs it, with a row for each identity ({HELP})"
        )
    found = read_rows(table, (PERSON,), "pid and the attributes")
    seen: dict[str, Row] = {}
    for row in found.rows:
        if not row.cells[PERSON]:
            raise DataError(f"{row.where}: the column pid is empty; fill it in, or remove the row")
        first = seen.setdefault(person_of(row), row)
        if first is not row:
            raise DataError(
                f"{row.where}: '{row.cells[PERSON]}' already has {first.where}; remove one of the rows"
            )
    return Table([name for name in found.names if name != PERSON], found.rows)


def _number(row: Row) -> str:
    """Return the number of a row's person, without leading zeros."""
    text = row.cells[PERSON]
    try:
        return str(int(text))
    except ValueError:
        raise DataError(
            f"{row.where}: the pid '{text}' is not a number, as the identities of that dataset are"
        ) from None


def _check_columns(table: Path, names: Iterable[str], words: OwnAttributes) -> None:
    """Check that every column of a table is an attribute, or listed as ignored."""
    known = {column.key for column in words.columns} | set(words.ignored)
    strange = next((name for name in names if name not in known), None)
    if strange is not None:
        raise DataError(
            f"{table} has the column '{strange}', which is not in {words.name}; describe it there under "
            f"'attributes', or list it in 'ignored: [{strange}]'"
        )


def _missing(folder: Path, column: Column, names: Sequence[str]) -> DataError:
    return DataError(
        f"{WORDS} describes '{column.name}', but the tables in {folder} have no such column (they have "
        f"{', '.join(names) or 'no attribute'}); add the column, or remove '{column.name}' from {WORDS}"
    )


def _values(column: Column, rows: Iterable[tuple[str, Row]]) -> dict[str, tuple[int, ...]]:
    """Return the values of a column's attributes by person or picture, without those that are all unknown."""
    found: dict[str, tuple[tuple[int, ...], Row]] = {}
    for key, row in rows:
        cell = row.cells[column.key]
        value = column.read(cell)
        if value is None:
            raise DataError(
                f"{row.where}, column {column.name}: '{cell}' is none of {', '.join(column.values)}; correct it, add "
                f"it to {WORDS}, or leave the cell empty where it is not known"
            )
        if UNKNOWN in value:
            continue
        known, first = found.setdefault(key, (value, row))
        if known != value:
            raise DataError(_two_values(column, key, (row, first)))
    return {key: value for key, (value, _) in found.items()}


def _two_values(column: Column, key: str, rows: tuple[Row, Row]) -> str:
    (here, a), (there, b) = ((row.where, row.cells[column.key]) for row in rows)
    way_out = "correct one of them"
    if column.level == "identity":
        way_out += (
            f", or write 'level: image' under '{column.name}' in {WORDS} if it changes between pictures"
        )
    return f"{here}, column {column.name}: '{key}' has '{a}' here and '{b}' in {there}; {way_out}"
