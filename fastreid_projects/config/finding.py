"""Find the files that a command line or a config names, and suggest others if they do not exist."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from fastreid_projects.config.old_paths import moved_config
from fastreid_projects.errors import ConfigError
from fastreid_projects.shipped import BLOCKS, find_shipped, root

_RUN_CONFIG = "config.yaml"


def find_config(path: str, asked: str = "") -> str:
    """Return the path of a config: ``path`` itself, one of this project's configs, or the new place of a moved one.

    Args:
        path: the path or name as given by the user.
        asked: the origin of the path, for the error message.

    Raises:
        ConfigError: it is a folder, or does not exist; the message suggests what may be meant.
    """
    full = os.path.expanduser(path)
    if os.path.isdir(full):
        raise ConfigError(f"the config {path}{asked} is a folder; {_in_folder(full)}")
    if os.path.isfile(full):
        return full
    today = find_shipped(full) or moved_config(full) or _moved_by_name(full)
    if not today:
        raise ConfigError(f"the config {path}{asked} does not exist{_nearest(full)}")
    return today


def _moved_by_name(name: str) -> str:
    """Return the present path of a config that an earlier version had under this bare name; "" if there is none."""
    if os.path.dirname(name):
        return ""
    folders = (root() / "configs", *sorted(root().glob("projects/*/configs")))
    return next(filter(None, (moved_config(str(folder / name)) for folder in folders)), "")


def find_base(path: str, folder: str) -> str:
    """Return the path of a ``_BASE_``.

    Args:
        path: relative to the folder of its config or, if it is more than a name, to a folder above; if there is no such
            file, a config of this project, by its name or its path from the project's root.
        folder: the folder of the config that names it.
    """
    own = os.path.join(folder, os.path.expanduser(path))
    if os.path.exists(own):
        return own
    above = _first_with(path, Path(folder).absolute().parents) if os.path.dirname(path) else None
    if above is None:
        return find_shipped(path) or own
    return str(above / path) if os.path.isabs(folder) else os.path.relpath(above / path)


def find_file(path: str, folder: str) -> str:
    """Return the path of a file that a config names.

    Args:
        path: relative to the working folder, to ``folder``, or to a folder above; a config of an earlier version is
            found at its new place.
        folder: the folder of the config.

    Returns:
        The path itself if there is no such file.
    """
    if not path or os.path.exists(path):
        return path
    own = Path(folder).absolute()
    folders = (own, *own.parents) if os.path.dirname(path) else (own,)  # a bare name means one folder
    above = _first_with(path, folders)
    if above is not None:
        return str(above / path)
    moved = (moved_config(str(place)) for place in (path, *(above / path for above in folders)))
    return next(filter(None, moved), path)


def _first_with(path: str, folders: Iterable[Path]) -> Path | None:
    return next((folder for folder in folders if (folder / path).is_file()), None)


def _in_folder(folder: str) -> str:
    """Return what to write instead of a folder."""
    if os.path.isfile(os.path.join(folder, _RUN_CONFIG)):
        return f"name the config of its run, {os.path.join(folder, _RUN_CONFIG)}"
    files = sorted(_yaml_files(Path(folder)))
    if not files:
        return "name a YAML file"
    return f"name a YAML file in it, such as {_listed([str(file) for file in files[:3]])}"


def _nearest(path: str) -> str:
    """Return a question that names similar configs in the folder, below it, or in this project; "" for none."""
    project = root()
    folders = [Path(os.path.dirname(path)), project / "configs", *project.glob("projects/*/configs")]
    names: dict[str, str] = {}
    for folder in folders:
        for file in sorted(_yaml_files(folder)):
            names.setdefault(file.name, str(file))
    wanted = f"{Path(path).stem}.yml"
    near = [wanted] if wanted in names else difflib.get_close_matches(wanted.lower(), names, n=3, cutoff=0.8)
    return f"; did you mean {_listed([_short(names[name]) for name in near])}?" if near else ""


def _yaml_files(folder: Path) -> list[Path]:
    found = (*folder.glob("*.y*ml"), *folder.glob("*/*.y*ml"))
    return [file for file in found if file.parent.name != BLOCKS]


def _short(path: str) -> str:
    """Return the shortest path by which a config can be named: from the project's root or from the working folder."""
    if Path(path).is_relative_to(root()):
        return Path(path).relative_to(root()).as_posix()
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative


def _listed(names: list[str]) -> str:
    """Join names as ``a, b or c``."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
