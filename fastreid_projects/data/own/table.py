"""Own pictures in a table, ``labels.csv``, as spreadsheet programs write it."""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastreid_projects.data.own.entries import NO_CAMERA, SPLITS, Entry, Pictures
from fastreid_projects.errors import DataError

COLUMNS = ("path", "pid", "split")
CAMERA = "camid"
_SEPARATORS = ",;\t|"
_EMPTY = ("", "nan")  # other programs write NaN where nothing is


def read_table(table: Path) -> Pictures:
    """Read a table with the columns ``path, pid, camid, split``; others are left alone.

    Columns are separated by commas, semicolons, tabs or bars. Without the column ``camid`` no camera is known.

    Raises:
        DataError: a row that cannot be used, with its line.
    """
    try:
        with table.open(encoding=_encoding(table), newline="") as file:
            lines = 1
            while (head := file.readline()).isspace():
                lines += 1
            separator = max(_SEPARATORS, key=head.count)
            names = [name.strip().lower() for name in next(csv.reader([head], delimiter=separator), [])]
            for name in COLUMNS:
                if name not in names:
                    raise DataError(
                        f"{table} has no column '{name}': its first line has to name path, pid, camid, split, "
                        "separated by commas, semicolons or tabs"
                    )
            rows = csv.DictReader(file, names, delimiter=separator, skipinitialspace=True)
            return Pictures(list(_entries(table, lines, rows)), [])
    except (UnicodeError, csv.Error) as error:
        raise DataError(
            f"{table} cannot be read as a table in UTF-8 (or UTF-16 with its mark): {error}; save it as 'CSV UTF-8'"
        ) from error


def _encoding(table: Path) -> str:
    with table.open("rb") as file:
        start = file.read(2)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _entries(table: Path, lines_before: int, rows: Any) -> Iterator[Entry]:
    seen: dict[str, tuple[Entry, set[str]]] = {}
    for row in rows:
        entry = _entry(table, lines_before + rows.line_num, row)
        first, splits = seen.setdefault(entry.path, (entry, set()))
        same = entry[1:3] == first[1:3]
        if splits and not (
            same and splits | {entry.split} == {"query", "gallery"} and entry.split not in splits
        ):
            raise DataError(
                f"{entry.where}: the picture {entry.path} stands in {first.where} already; remove one of both (only as "
                "query and gallery, of one person and camera, may it stand twice)"
            )
        splits.add(entry.split)
        yield entry


def _entry(table: Path, line: int, row: dict[str, Any]) -> Entry:
    where = f"{table}, line {line}"
    columns = [name for name in (*COLUMNS, CAMERA) if name in row]
    values = {CAMERA: NO_CAMERA, **{name: (row[name] or "").strip() for name in columns}}
    for name, value in values.items():
        if value.lower() in _EMPTY:
            raise DataError(f"{where}: the column {name} is empty; fill it or remove the row")
    split = values["split"].lower()
    if split not in SPLITS:
        raise DataError(f"{where}: the split '{values['split']}' is none of {', '.join(SPLITS)}")
    path = _path(table, values["path"])
    if not os.path.isfile(path):
        raise DataError(f"{where}: the picture {path} does not exist; correct the path or remove the row")
    return Entry(path, values["pid"], values[CAMERA], split, where)


def _path(table: Path, text: str) -> str:
    """The picture's path; backslashes separate folders where no file has them in its name."""
    path = os.path.normpath(os.path.join(table.parent, os.path.expanduser(text)))
    if "\\" in text and not os.path.isfile(path):
        return os.path.normpath(os.path.join(table.parent, text.replace("\\", "/")))
    return path
