"""Write a file completely or not at all, and check beforehand that it can be written."""

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
):  # Windows: without the lock, two processes may do the same work, and the first one to finish wins
    fcntl = None  # type: ignore[assignment]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_unfinished: set[Path] = set()


def write_aside(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write ``content`` beside ``path`` and rename it, so that a reader never sees an incomplete file.

    Missing parent folders are created; an existing file is replaced.

    Raises:
        DataError: the path cannot be written.
    """
    with replacing(path) as file:
        file.write(content)
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, sync: bool = False) -> Iterator[IO[bytes]]:
    """Open a file beside ``path`` that replaces it once it is complete; otherwise nothing is left.

    Args:
        path: the file to write; missing parent folders are created, an existing file is replaced.
        sync: whether to wait until the file is on the disk, so that it also survives a power cut.

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
    """Hold a lock file while creating something that several processes need.

    The lock is released when its process ends, in whatever way.

    Yields:
        Whether the lock is held; not every file system supports it.
    """
    with Path(path).open("w") as stream:
        held = False
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(stream, fcntl.LOCK_EX)
                held = True
        yield held


def visible_files(folder: str | os.PathLike[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and each folder below it with the names of its files, all sorted, without hidden ones.

    Links are followed, but not back to a folder that they lie in.
    """
    for here, folders, names in os.walk(folder, followlinks=True):
        around = Path(here).resolve()
        folders[:] = sorted(
            name
            for name in folders
            if name[:1] != "." and not around.is_relative_to(Path(here, name).resolve())
        )
        yield here, sorted(name for name in names if name[:1] != ".")


def check_writable(path: str | Path) -> None:
    """Check that a file can be written before hours of work go into it; nothing is created.

    Raises:
        DataError: the path is a folder, or lies in a folder that cannot be created or written to.
    """
    path = Path(path).absolute()
    if path.is_dir():
        raise DataError(f"cannot write {path}: it is a folder; name a file")
    parent = next(folder for folder in path.parents if folder.exists())
    if not parent.is_dir():
        raise DataError(f"cannot write {path}: {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise DataError(f"cannot write {path}: the folder {parent} is not writable; name another place")


def remove_unfinished(folder: str | os.PathLike[str] | None = None) -> None:
    """Remove the unfinished files that killed processes have left in a folder; None: those of this process."""
    left = _unfinished if folder is None else [p for p in Path(folder).glob(".*.part") if not _is_written(p)]
    for aside in list(left):
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def _is_written(aside: Path) -> bool:
    """Return whether the process named at the end of a file's name is another, living one of this machine."""
    number = aside.name.split(".")[-2]
    if not number.isdecimal() or int(number) == os.getpid():
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # a process of another user
        return True
    return True


@contextlib.contextmanager
def full_disk_in_a_sentence(folder: str) -> Iterator[None]:
    """Turn errors of a full disk into one sentence; threads such as TensorBoard's then print nothing.

    Raises:
        DataError: instead of an OSError because of a full disk, a quota or the maximum size of a file.
    """
    hook = threading.excepthook

    def quiet(arguments: threading.ExceptHookArgs) -> None:
        if not _is_full(arguments.exc_value):
            hook(arguments)

    threading.excepthook = quiet
    try:
        yield
        threading.excepthook = hook  # after an error, a thread may still fail
    except OSError as error:
        if not _is_full(error):
            raise
        raise DataError(
            f"no room to write {error.filename or folder} ({error.strerror}); complete checkpoints are untouched: "
            "make room, then use --resume"
        ) from error


def _is_full(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in FULL
