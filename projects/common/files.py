"""Writes a file as a whole or not at all."""

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
