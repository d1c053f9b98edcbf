"""The configs that belong to this project, in a checkout and in an installed wheel."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from fastreid_projects.errors import ConfigError

BLOCKS = "_blocks"  # the folder of what configs share; nothing in it is a run
_PACKAGE = Path(__file__).resolve().parent
IN_WHEEL = "shipped"  # below the package, filled by setup.py


def root() -> Path:
    """Return the folder that holds ``configs/`` and ``projects/<PAPER>/configs/``."""
    checkout = _PACKAGE.parent
    inside = _PACKAGE / IN_WHEEL
    return checkout if not inside.is_dir() and (checkout / "projects").is_dir() else inside


def all_configs() -> list[Path]:
    """Return the paths of all configs that can be run, sorted."""
    folder = root()
    found = [*folder.glob("configs/*/*.yml"), *folder.glob("projects/*/configs/*/*.yml")]
    return sorted(path for path in found if path.parent.name != BLOCKS)


def shipped_configs() -> dict[str, list[str]]:
    """Return the names of all configs by their folder, e.g. ``projects/AMD/configs/demo``."""
    folders: dict[str, list[str]] = defaultdict(list)
    for path in all_configs():
        folders[path.parent.relative_to(root()).as_posix()].append(path.name)
    return dict(folders)


def find_shipped(path: str) -> str:
    """Return the path of a config of this project, given by its path from the project's root or by its bare name.

    Args:
        path: ``projects/AMD/configs/demo/amd_r18_demo.yml``, ``amd_r18_demo.yml`` or ``amd_r18_demo``.

    Returns:
        Its path; "" if there is none.

    Raises:
        ConfigError: several configs have this name; the message lists them.
    """
    below = root() / path
    if below.is_file():
        return str(below)
    if "/" in path or "\\" in path:
        return ""
    name = path if path.endswith((".yml", ".yaml")) else f"{path}.yml"
    found = [config for config in all_configs() if config.name == name]
    if len(found) > 1:
        names = ", ".join(config.relative_to(root()).as_posix() for config in found)
        raise ConfigError(f"several configs are called {name}: name one of {names}")
    return str(found[0]) if found else ""
