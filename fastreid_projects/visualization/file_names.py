"""Short names for files on a page: the file name, with as many of its folders as make it unique."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePath


def tell_apart(paths: Iterable[str]) -> dict[str, str]:
    """Return a label for each path: its file name, with the folders above it if another file has the same name.

    Args:
        paths: paths or other names; equal ones are the same file.

    Example:
        >>> tell_apart(["a/1/x.jpg", "a/2/x.jpg", "a/2/y.jpg"])
        {'a/1/x.jpg': '1/x.jpg', 'a/2/x.jpg': '2/x.jpg', 'a/2/y.jpg': 'y.jpg'}
    """
    names = list(dict.fromkeys(paths))
    files = names
    labels: dict[str, str] = {}
    depth = 1
    while files:
        alike = defaultdict(list)
        for path in files:
            alike[_tail(path, depth)].append(path)
        labels |= {group[0]: label for label, group in alike.items() if len(group) == 1}
        rest = [path for group in alike.values() if len(group) > 1 for path in group]
        whole = [path for path in rest if depth >= len(PurePath(path).parts)]  # "a.jpg" beside "./a.jpg"
        labels |= {path: path for path in whole}
        files = [path for path in rest if path not in labels]
        depth += 1
    return {path: labels[path] for path in names}


def _tail(path: str, depth: int) -> str:
    parts = PurePath(path).parts
    return str(PurePath(*parts[-depth:])) if parts else path
