"""Find the camera in the name of a picture or of its folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from fastreid_projects.data.own.entries import MOST_DIGITS, TABLE
from fastreid_projects.errors import DataError

_WORD = r"(?:cam(?:era)?[ _-]?|c)(\d+)"
_FOLDER = re.compile(_WORD, re.IGNORECASE)
# A separate word, or a prefix as in Market-1501's c1s1 and DukeMTMC's c1_f01.
_NAME = re.compile(rf"(?:^|[^a-zA-Z0-9]){_WORD}(?=$|[^a-zA-Z0-9]|[sf]\d)", re.IGNORECASE)


def camera_of(parts: Sequence[str], path: str) -> str | None:
    """Return the number of a picture's camera, without leading zeros; None if no name contains it.

    Args:
        parts: the folders below the person's, then the file's name.
        path: path of the picture, for errors.

    Raises:
        DataError: the names of folder and file contain different cameras, or a number with too many digits.

    Example:
        >>> [camera_of([name], "") for name in ("c1_0001.jpg", "0002_C12s1_7.jpg", "x cam_03.png", "pic5.jpg")]
        ['1', '12', '3', None]
    """
    *folders, name = parts
    found = [match[1] for folder in folders if (match := _FOLDER.fullmatch(folder))]
    found += [match[1] for match in _NAME.finditer(os.path.splitext(name)[0])][:1]
    cameras = list(dict.fromkeys(digits.lstrip("0") or "0" for digits in found))
    if len(cameras) > 1:
        raise DataError(
            f"{path} names the cameras {' and '.join(cameras)}: rename its folder or file, or use {TABLE}"
        )
    if cameras and len(cameras[0]) > MOST_DIGITS:
        raise DataError(
            f"{path} names camera {cameras[0]}, a number of more than {MOST_DIGITS} digits: if it is not a camera, put "
            f"another letter than c before it, or use {TABLE}"
        )
    return cameras[0] if cameras else None
