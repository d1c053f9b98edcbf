"""Patch of utils/registry.py: errors list the known names, and say who has already registered a name."""

from __future__ import annotations

from typing import Any

from fastreid.utils.registry import Registry

from fastreid_projects.config.names import unknown_name
from fastreid_projects.contract_checks import check_offers
from fastreid_projects.errors import name_taken

_REGISTRY_KEYS = {
    "META_ARCH": "MODEL.META_ARCHITECTURE",
    "BACKBONE": "MODEL.BACKBONE.NAME",
    "HEADS": "MODEL.HEADS.NAME",
    "DATASET": "Dataset",
}
_KINDS = {"META_ARCH": "architecture", "BACKBONE": "backbone", "HEADS": "head", "DATASET": "dataset"}


def patch_registry() -> None:
    """Let every registry of the host list its names (utils/registry.py:71) and name the owner of one (:33)."""
    Registry.get = registry_get
    Registry._do_register = do_register


def do_register(self: Any, name: str, obj: object) -> None:
    """Register an object under a name.

    Raises:
        NameTakenError: another object has the name.
        TypeError: the object does not offer what it has to, see :mod:`fastreid_projects.contract`.
    """
    kind = _KINDS.get(self._name, self._name)
    if name in self._obj_map:
        raise name_taken(kind, name, self._obj_map[name])
    check_offers(kind, name, obj)
    self._obj_map[name] = obj


def registry_get(self: Any, name: str) -> Any:
    """Return a registered object; for a dataset ``FolderReID:shop`` or a path, that of the user's own pictures.

    Raises:
        ConfigError: there is no object with this name.
    """
    if name not in self._obj_map:
        own = _own_pictures(name) if self._name == "DATASET" else None
        if own is not None:
            return own
        raise unknown_name(_REGISTRY_KEYS.get(self._name, self._name), name, sorted(self._obj_map))
    return self._obj_map[name]


def _own_pictures(name: str) -> Any:
    from fastreid_projects.data.folder import (
        own_dataset,  # imports the host, which is only being patched at first
    )

    return own_dataset(name)
