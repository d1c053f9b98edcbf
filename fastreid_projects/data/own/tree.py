"""Own pictures in the folders ``train``, ``query`` and ``gallery``, with a subfolder for each person."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fastreid_projects.data.images import is_picture
from fastreid_projects.data.own.cameras import camera_of
from fastreid_projects.data.own.entries import NO_CAMERA, SPLITS, TABLE, Entry, Pictures
from fastreid_projects.errors import DataError
from fastreid_projects.files import visible_files

_OF_FILE_MANAGERS = ("thumbs.db", "desktop.ini")
_BESIDE = "beside the persons' folders"
_NO_PICTURE = "not a picture that Pillow reads"
_NO_SPLIT = f"in none of the folders {', '.join(SPLITS)}"


def read_folders(folder: Path) -> Pictures:
    """Read all pictures below ``train``, ``query`` and ``gallery``, at any depth, and list everything left out.

    The folder in the split's folder names the person; the file or a folder below the person's names the camera.

    Raises:
        DataError: some names contain a camera and others do not.
    """
    entries: list[tuple[Entry, str | None]] = []
    left_out: list[tuple[str, str]] = []
    for split, *inner, name in _files(folder):
        path = os.path.join(folder, split, *inner, name)
        if split not in SPLITS:
            if is_picture(name):
                left_out.append((_NO_SPLIT, path))
        elif not is_picture(name):
            left_out.append((_NO_PICTURE, path))
        elif not inner:
            left_out.append((_BESIDE, path))
        else:
            person, *deeper = inner
            entries.append((Entry(path, person, NO_CAMERA, split, path), camera_of([*deeper, name], path)))
    entries.sort(key=lambda pair: SPLITS.index(pair[0].split))
    return Pictures(_with_cameras(entries), left_out)


def _files(folder: Path) -> Iterator[tuple[str, ...]]:
    """Yield the parts of the path of every file below a folder, sorted, without hidden files; the split comes first.

    The split of a file directly in the folder is "".
    """
    for here, names in visible_files(folder):
        parts = Path(here).relative_to(folder).parts
        for name in names:
            if name.lower() not in _OF_FILE_MANAGERS:
                yield (*(parts or ("",)), name)


def _with_cameras(entries: list[tuple[Entry, str | None]]) -> list[Entry]:
    """Return the entries with their cameras; either all have one, or none."""
    without = [entry for entry, camera in entries if camera is None]
    if len(without) == len(entries):
        return without
    if without:
        raise DataError(
            f"{without[0].path} does not name its camera, but {len(entries) - len(without)} of {len(entries)} pictures "
            f"do (c1, cam1 or camera_1 in their names or a folder's): name it for all or for none, or use {TABLE}"
        )
    return [entry._replace(camid=camera or NO_CAMERA) for entry, camera in entries]
