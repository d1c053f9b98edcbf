"""Features on disk: ``x.npy``, with the pictures' names in ``x.csv`` and a description of the features in ``x.json``.

They are written batch by batch to files that end with ``.part``, from which an interrupted extraction is resumed.

| letter | meaning          |
| ------ | ---------------- |
| N      | pictures         |
| D      | size of a feature |
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastreid_projects.errors import DataError
from fastreid_projects.files import check_writable, write_aside

COLUMNS = ("path", "pid", "camid")
Row = tuple[str, str, str]
Features = npt.NDArray[np.float32]
_PART = ".part"
_ITEM = 4  # bytes of a float32


class FeatureFile(NamedTuple):
    """Features with their pictures' names.

    Attributes:
        features: (N, D) float32, memory-mapped, read-only.
        rows: N of (path, pid, camid); "" for unknown values.
        facts: a description of the features: ``model``, a digest; ``normalized``; and what else their writer added.
    """

    features: Features
    rows: list[Row]
    facts: dict[str, Any]

    @property
    def paths(self) -> list[str]:
        """The paths of the pictures, (N,)."""
        return [row[0] for row in self.rows]


def read_features(path: str | os.PathLike[str]) -> FeatureFile:
    """Open the files that a :class:`FeatureWriter` wrote.

    Raises:
        DataError: a file is missing or damaged, or the three files do not match.
    """
    npy = Path(path)
    try:
        features = np.load(npy, mmap_mode="r")
        rows = _read_rows(npy.with_suffix(".csv"))
        facts = json.loads(npy.with_suffix(".json").read_text(encoding="utf-8"))
        if len(rows) != len(features) or features.ndim != 2:
            raise ValueError(f"it has {features.shape} numbers, but its table names {len(rows)} pictures")
    except (OSError, ValueError, KeyError, EOFError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        if isinstance(error, FileNotFoundError):
            reason = f"{error.filename} does not exist"
        elif "pickle" in reason:  # numpy's words for all that is not its own
            reason = "it is not an .npy file"
        raise DataError(f"the features {npy} cannot be read: {reason}; extract them again") from error
    return FeatureFile(features, rows, facts)


def check_npy(path: str | os.PathLike[str]) -> Path:
    """Return the path of features that can be written there.

    Raises:
        DataError: it cannot be written or does not end with .npy.
    """
    path = Path(path)
    check_writable(path)
    if path.suffix != ".npy":
        raise DataError(f"the features cannot be written to {path}: its name has to end with .npy")
    return path


class FeatureWriter:
    """Write features batch by batch, and resume the files of an interrupted process.

    Args:
        path: path of the ``.npy``.
        facts: a description of the features; only files with the same description are resumed.

    Attributes:
        rows: the rows already written, in order.
        written_at: time of the last write, in seconds; 0 if nothing was written.

    Raises:
        DataError: the path cannot be written or does not end with .npy.
    """

    def __init__(self, path: str | os.PathLike[str], facts: Mapping[str, Any]) -> None:
        self.path = check_npy(path)
        self.facts = dict(facts)
        self.rows: list[Row] = []
        self.written_at = 0.0
        self._size = 0
        self._head = 0
        self._files: list[IO[bytes]] = []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._take_up()

    def _part(self, suffix: str) -> Path:
        return self.path.with_suffix(suffix + _PART)

    def _take_up(self) -> None:
        """Read the complete rows of existing files with the same facts."""
        data, names = self._part(".npy"), self._part(".csv")
        try:
            facts = json.loads(self._part(".json").read_text(encoding="utf-8"))
            if facts != json.loads(json.dumps(self.facts)):
                return
            with data.open("rb") as file:
                np.lib.format.read_magic(file)
                _, self._size = np.lib.format.read_array_header_1_0(file)[0]
                self._head = file.tell()
            whole = (data.stat().st_size - self._head) // (_ITEM * self._size)
            self.rows = _read_rows(names, whole_lines=True)[:whole]
            self.written_at = names.stat().st_mtime
        except (OSError, ValueError, EOFError):
            self.rows = []

    def start_anew(self) -> None:
        """Forget the rows already written."""
        self.rows = []

    def append(self, rows: Sequence[Row], features: Features) -> None:
        """Write the features (B, D) of B pictures.

        Raises:
            DataError: the disk is full, or the features differ in size from those before.
        """
        try:
            if not self._files:
                self._open(features.shape[1])
            if features.shape[1] != self._size:
                raise DataError(
                    f"features of size {features.shape[1]} cannot be added to those of size {self._size} in {self.path}"
                )
            data, names = self._files
            data.write(np.ascontiguousarray(features, dtype="<f4").tobytes())
            data.flush()
            names.write(_lines(rows))
            names.flush()
        except OSError as error:
            raise DataError(
                f"cannot write {self.path}: {error.strerror or error}; free some space and start again to resume"
            ) from error
        self.rows += rows

    def _open(self, size: int) -> None:
        data, names = self._part(".npy"), self._part(".csv")
        if self.rows and size == self._size:
            self._files = [data.open("r+b"), names.open("r+b")]
            self._files[0].truncate(self._head + len(self.rows) * _ITEM * size)
            self._files[1].truncate(len(_lines([COLUMNS, *self.rows])))
            for file in self._files:
                file.seek(0, os.SEEK_END)
            return
        self._size = size
        self._files = [data.open("wb"), names.open("wb")]
        _write_head(self._files[0], 0, size)
        self._head = self._files[0].tell()
        self._files[1].write(_lines([COLUMNS]))
        write_aside(self._part(".json"), json.dumps(self.facts, indent=1).encode())

    def finish(self) -> FeatureFile:
        """Rename the files to their final names, the description last.

        Raises:
            DataError: there are no features, or the files cannot be written.
        """
        if not self.rows:
            raise DataError(f"there are no pictures whose features could be written to {self.path}")
        try:
            if not self._files:
                self._open(self._size)
            _write_head(self._files[0], len(self.rows), self._size)
            self.close()
            for suffix in (".npy", ".csv"):
                self._part(suffix).replace(self.path.with_suffix(suffix))
            self._part(".json").unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"cannot write {self.path}: {error.strerror or error}") from error
        facts = {**self.facts, "pictures": len(self.rows), "size": self._size}
        write_aside(self.path.with_suffix(".json"), json.dumps(facts, indent=1).encode())
        return read_features(self.path)

    def close(self) -> None:
        """Close the files, which can be resumed later."""
        for file in self._files:
            file.close()
        self._files = []


def _write_head(file: IO[bytes], count: int, size: int) -> None:
    """Write the header at the start of an .npy; numpy leaves space for any count."""
    file.seek(0)
    head = {"descr": "<f4", "fortran_order": False, "shape": (count, size)}
    np.lib.format.write_array_header_1_0(file, head)


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _read_rows(path: Path, *, whole_lines: bool = False) -> list[Row]:
    """Return the rows of a table, or with ``whole_lines`` only those whose line is complete."""
    content = path.read_bytes()
    if whole_lines:
        content = content[: content.rfind(b"\n") + 1]
    rows = list(csv.reader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise ValueError(f"{path} does not begin with {','.join(COLUMNS)}")
    return [(row[0], row[1], row[2]) for row in rows[1:]]
