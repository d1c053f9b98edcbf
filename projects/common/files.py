"""Writes a file as a whole or not at all, and sees beforehand that it can be."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from fastreid_projects.errors import DataError


def write_aside(path: str | Path, content: bytes) -> Path:
    """Write ``content`` beside ``path`` and rename it, so that a reader never meets half a file.

    Missing parent folders are created; an existing file is replaced.

    Raises:
        DataError: the path cannot be written.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        aside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def check_writable(path: str | Path) -> None:
    """See that a file can be written before hours of work go into it; nothing is made.

    Raises:
        DataError: the path is a folder, or lies in a folder that cannot be made or written.
    """
    path = Path(path).absolute()
    if path.is_dir():
        raise DataError(f"cannot write {path}: it is a folder; name a file")
    parent = next(folder for folder in path.parents if folder.exists())
    if not parent.is_dir():
        raise DataError(f"cannot write {path}: {parent} is no folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise DataError(f"cannot write {path}: the folder {parent} is not writable; name another place")
