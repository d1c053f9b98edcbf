"""Own pictures in a table, ``labels.csv``, as spreadsheet programs write it."""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastreid_projects.data.own.entries import NO_CAMERA, SPLITS, Entry, Pictures
from fastreid_projects.errors import DataError

COLUMNS = ("path", "pid", "split")
CAMERA = "camid"
_SEPARATORS = ",;\t|"
_EMPTY = ("", "nan")  # other programs write NaN for an empty cell


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        where: the file and the line, for errors.
        cells: the cells by the names of their columns in lower case, without surrounding spaces.
    """

    where: str
    cells: Mapping[str, str]


class Table(NamedTuple):
    """A table.

    Attributes:
        names: the names of its columns, in lower case.
        rows: the rows in order, without blank ones.
    """

    names: list[str]
    rows: list[Row]


def read_rows(table: Path, needed: Sequence[str], example: str) -> Table:
    """Read a table whose columns are separated by commas, semicolons, tabs or bars.

    Args:
        table: the file, in UTF-8, or in UTF-16 with a byte order mark.
        needed: the required columns.
        example: the columns that its first line has to name, for the error message.

    Raises:
        DataError: it cannot be read, lacks a column, has one twice, or a row has more cells than there are columns.
    """
    try:
        with table.open(encoding=_encoding(table), newline="") as file:
            lines = 1
            while (head := file.readline()).isspace():
                lines += 1
            separator = max(_SEPARATORS, key=head.count)
            names = [name.strip().lower() for name in next(csv.reader([head], delimiter=separator), [])]
            _check_names(table, lines, names, needed, example)
            rows = csv.DictReader(file, names, delimiter=separator, skipinitialspace=True)
            found = [_row(f"{table}, line {lines + rows.line_num}", row) for row in rows]
            return Table([name for name in names if name], found)
    except (UnicodeError, csv.Error) as error:
        raise DataError(
            f"{table} cannot be read as a table in UTF-8 (or UTF-16 with a BOM): {error}; save it as 'CSV UTF-8'"
        ) from error


def _check_names(table: Path, line: int, names: list[str], needed: Sequence[str], example: str) -> None:
    for name in needed:
        if name not in names:
            raise DataError(
                f"{table} has no column '{name}': its first line has to name {example}, separated by commas, "
                "semicolons or tabs"
            )
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{table}, line {line}: two columns are called '{twice}'; remove or rename one")


def _row(where: str, row: dict[Any, Any]) -> Row:
    beyond = [cell for cell in row.pop(None, []) if cell.strip()]
    if beyond:
        raise DataError(
            f"{where}: there are more cells than columns, the last one is '{beyond[-1].strip()}'; put a text that "
            "contains the separator in quotes"
        )
    return Row(where, {name: (cell or "").strip() for name, cell in row.items() if name})


def read_table(table: Path) -> Pictures:
    """Read a table with the columns ``path, pid, camid, split``; the cells of other columns are kept as text.

    Columns are separated by commas, semicolons, tabs or bars. Without the column ``camid``, no camera is known.

    Raises:
        DataError: a row cannot be used; the message names its line.
    """
    rows = read_rows(table, COLUMNS, "path, pid, camid, split").rows
    return Pictures(list(_entries(table, rows)), [])


def _encoding(table: Path) -> str:
    with table.open("rb") as file:
        start = file.read(2)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _entries(table: Path, rows: Iterable[Row]) -> Iterator[Entry]:
    seen: dict[str, tuple[Entry, set[str]]] = {}
    for row in rows:
        entry = _entry(table, row)
        first, splits = seen.setdefault(entry.path, (entry, set()))
        same = entry[1:3] == first[1:3]
        if splits and not (
            same and splits | {entry.split} == {"query", "gallery"} and entry.split not in splits
        ):
            raise DataError(
                f"{entry.where}: the picture {entry.path} is already in {first.where}; remove one of the rows (only "
                "as query and gallery, with the same person and camera, may a picture be there twice)"
            )
        splits.add(entry.split)
        yield entry


def _entry(table: Path, row: Row) -> Entry:
    where, cells = row
    columns = [name for name in (*COLUMNS, CAMERA) if name in cells]
    values = {CAMERA: NO_CAMERA, **{name: cells[name] for name in columns}}
    for name, value in values.items():
        if value.lower() in _EMPTY:
            raise DataError(f"{where}: the column {name} is empty; fill it in, or remove the row")
    split = values["split"].lower()
    if split not in SPLITS:
        raise DataError(f"{where}: the split '{values['split']}' is not one of {', '.join(SPLITS)}")
    path = _path(table, values["path"])
    if not os.path.isfile(path):
        raise DataError(f"{where}: the picture {path} does not exist; correct the path or remove the row")
    others = {name: cell for name, cell in cells.items() if name not in values}
    return Entry(path, values["pid"], values[CAMERA], split, where, others)


def _path(table: Path, text: str) -> str:
    """Return the picture's path; backslashes separate folders unless a file has them in its name."""
    path = os.path.normpath(os.path.join(table.parent, os.path.expanduser(text)))
    if "\\" in text and not os.path.isfile(path):
        return os.path.normpath(os.path.join(table.parent, text.replace("\\", "/")))
    return path
