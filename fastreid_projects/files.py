"""Writes a file as a whole or not at all, and sees beforehand that it can be."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from fastreid_projects.errors import DataError

try:
    import fcntl
except (
    ImportError
):  # Windows: without the lock two processes may do the same work, and the first to finish wins
    fcntl = None  # type: ignore[assignment]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_unfinished: set[Path] = set()


def write_aside(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write ``content`` beside ``path`` and rename it, so that a reader never meets half a file.

    Missing parent folders are created; an existing file is replaced.

    Raises:
        DataError: the path cannot be written.
    """
    with replacing(path) as file:
        file.write(content)
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, sync: bool = False) -> Iterator[IO[bytes]]:
    """Open a file beside ``path`` that takes its place once it is complete; nothing is left where it is not.

    Args:
        path: the file to write; missing parent folders are created, an existing file is replaced.
        sync: wait until it is on the disk, so that it also outlives a power cut.

    Raises:
        DataError: the path cannot be written.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    _unfinished.add(aside)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        _unfinished.discard(aside)


@contextlib.contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[bool]:
    """Hold a lock file while something is made that several processes want.

    The lock is freed when its process ends in whatever way.

    Yields:
        Whether it is held; not every file system can.
    """
    with Path(path).open("w") as stream:
        held = False
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(stream, fcntl.LOCK_EX)
                held = True
        yield held


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


def remove_unfinished(folder: str | os.PathLike[str] | None = None) -> None:
    """Remove what processes that were killed have left of their files in a folder; None: what this one is writing."""
    left = _unfinished if folder is None else [p for p in Path(folder).glob(".*.part") if not _is_written(p)]
    for aside in list(left):
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def _is_written(aside: Path) -> bool:
    """Whether the process that a file's name ends with is another one of this machine that lives."""
    number = aside.name.split(".")[-2]
    if not number.isdecimal() or int(number) == os.getpid():
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


@contextlib.contextmanager
def full_disk_in_a_sentence(folder: str) -> Iterator[None]:
    """Say in one sentence that a disk is full, whoever writes to it; threads, as TensorBoard's, say nothing then.

    Raises:
        DataError: in place of an OSError because of a full disk, a quota or the largest size of a file.
    """
    hook = threading.excepthook

    def quiet(arguments: threading.ExceptHookArgs) -> None:
        if not _is_full(arguments.exc_value):
            hook(arguments)

    threading.excepthook = quiet
    try:
        yield
        threading.excepthook = hook  # after an error a thread may still be on its way
    except OSError as error:
        if not _is_full(error):
            raise
        raise DataError(
            f"no room to write {error.filename or folder} ({error.strerror}); complete checkpoints are untouched: "
            "make room, then go on with --resume"
        ) from error


def _is_full(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in FULL
