"""Names of own pictures in DATASETS.NAMES and DATASETS.TESTS."""

from __future__ import annotations

import os

NAME = "FolderReID"


def own_folder(name: str) -> str | None:
    """Return the folder that a dataset's name stands for; None if it is the name of another dataset.

    Example:
        >>> [own_folder(name) for name in ("FolderReID:shop", "/data/shop", "FolderReID", "Market1501")]
        ['shop', '/data/shop', None, None]
    """
    kind, colon, folder = name.partition(":")
    if colon and kind == NAME:
        return folder or NAME
    return os.path.abspath(os.path.expanduser(name)) if os.sep in name else None
