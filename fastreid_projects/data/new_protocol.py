"""Read ``cuhk03-np``: CUHK03 by its new protocol (Zhong et al. 2017), as images with names like Market-1501's."""

from __future__ import annotations

import os
import re
from typing import Any

from fastreid_projects.data.datasets import not_found
from fastreid_projects.errors import DataError

NEW_PROTOCOL = ("cuhk03-np", "CUHK03-NP", "cuhk03_np")
_PARTS = ("bounding_box_train", "query", "bounding_box_test")
_NAME = re.compile(r"(\d+)_c(\d+)_")
Item = tuple[str, Any, Any]


def find_new_protocol(root: str, kind: str) -> str:
    """Return the folder ``cuhk03-np/labeled`` or ``detected``; "" if there is no ``cuhk03-np``.

    Args:
        root: the folder of all datasets.
        kind: ``"labeled"`` or ``"detected"``.

    Raises:
        DataError: one of the folder's parts is missing.
    """
    found = next((name for name in NEW_PROTOCOL if os.path.isdir(os.path.join(root, name))), "")
    if not found:
        return ""
    folder = os.path.join(root, found, kind)
    for part in ("", *_PARTS):
        if not os.path.isdir(os.path.join(folder, part)):
            raise not_found(os.path.join(folder, part).rstrip(os.sep))
    return folder


def read_new_protocol(folder: str) -> tuple[list[Item], list[Item], list[Item]]:
    """Read training, query and gallery images of ``cuhk03-np/labeled`` or ``detected``.

    Raises:
        DataError: an image is not named like ``0001_c1_1.png``.
    """
    train, query, gallery = (_read_part(os.path.join(folder, part)) for part in _PARTS)
    return [(path, f"cuhk03_{pid}", f"cuhk03_{camid}") for path, pid, camid in train], query, gallery


def _read_part(folder: str) -> list[tuple[str, int, int]]:
    items = []
    for name in sorted(os.listdir(folder)):
        if not name.lower().endswith((".png", ".jpg")) or name.startswith("."):
            continue
        match = _NAME.match(name)
        if match is None:
            raise DataError(
                f"{os.path.join(folder, name)} is not named like 0001_c1_1.png: rename or remove it."
            )
        items.append((os.path.join(folder, name), int(match[1]), int(match[2]) - 1))
    return items
