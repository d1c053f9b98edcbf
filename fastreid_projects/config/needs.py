"""Check keys that have no effect without another one, which the host would accept silently."""

from __future__ import annotations

import logging
from typing import Any

from fastreid_projects.errors import ConfigError

logger = logging.getLogger("fastreid.projects.config")


def check_needs(cfg: Any) -> None:
    """Check that no key switches off what another key asks for.

    Settings in a group with ENABLED False only cause a warning, because many configs keep them there.

    Raises:
        ConfigError: layers are frozen for no iteration, or iterations are given without layers.
    """
    layers, iterations = list(cfg.MODEL.FREEZE_LAYERS), cfg.SOLVER.FREEZE_ITERS
    if layers and iterations == 0:
        raise ConfigError(
            f"MODEL.FREEZE_LAYERS {layers} freezes nothing while SOLVER.FREEZE_ITERS is 0: set SOLVER.FREEZE_ITERS to "
            "the number of iterations; a number above that of the whole run freezes them for good"
        )
    if iterations and not layers:
        raise ConfigError(
            f"SOLVER.FREEZE_ITERS {iterations} freezes nothing while MODEL.FREEZE_LAYERS is empty: name the layers, "
            "e.g. MODEL.FREEZE_LAYERS \"['backbone']\", or set SOLVER.FREEZE_ITERS 0"
        )
    for key, switch in ignored_settings(cfg):
        logger.warning("%s has no effect while %s is False", key, switch)


def ignored_settings(cfg: Any) -> list[tuple[str, str]]:
    """Return the keys that differ from the host's defaults in a disabled group, each with the key that disables it."""
    from fastreid.config.defaults import _C

    return list(_ignored(cfg, _C, ""))


def _ignored(node: Any, default: Any, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    switched_off = node.get("ENABLED", True) is False
    for name, value in node.items():
        if name not in default:
            continue
        if hasattr(value, "items"):
            found += _ignored(value, default[name], f"{prefix}{name}.")
        elif switched_off and value != default[name]:
            found.append((f"{prefix}{name}", f"{prefix}ENABLED"))
    return [entry for entry in found if entry[0] != entry[1]]
