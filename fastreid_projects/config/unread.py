"""Keys of ``MODEL`` that a model does not read, and which would therefore silently have no effect."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from fastreid.modeling.backbones import BACKBONE_REGISTRY
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

from fastreid_projects import plugins
from fastreid_projects.config.values import all_keys, get_key
from fastreid_projects.config.watched import WatchedConfig
from fastreid_projects.errors import ConfigError
from fastreid_projects.losses import LOSSES

logger = logging.getLogger(__name__)

HOST = "fastreid."
# Keys that are read before the model is built, or after.
_READ_ELSEWHERE = {
    "MODEL.DEVICE",
    "MODEL.META_ARCHITECTURE",
    "MODEL.WEIGHTS",
    "MODEL.FREEZE_LAYERS",
    "MODEL.HEADS.NUM_CLASSES",
    "MODEL.LOSSES.NAME",
}
_PRETRAIN, _PATH = "MODEL.BACKBONE.PRETRAIN", "MODEL.BACKBONE.PRETRAIN_PATH"
_HOST_GROUPS = ("BACKBONE", "HEADS", "LOSSES")


def refuse_unread(cfg: WatchedConfig) -> None:
    """Refuse values that have no effect on the model that was built from a config.

    It is an error if a key or a part of the model belongs to this project. FastReID's parts with FastReID's keys, whose
    configs contain such values, and external plug-ins, which may read their keys later, only cause a warning.

    Args:
        cfg: the config that the model was built from.

    Raises:
        ConfigError: values have no effect; the message names the keys, the parts of the model, and a way out.
    """
    unread = unread_keys(cfg)
    parts = _parts(cfg.MODEL)
    certain = all(
        plugins.is_ours(part) or _module(part).startswith(HOST) for part in [*parts, *_losses(cfg.MODEL)]
    )
    own = any(map(plugins.is_ours, parts))
    refused = [key for key in unread if certain and (own or not _is_hosts(key))]
    if refused:
        raise ConfigError(_sentence(cfg, refused))
    if unread:
        logger.warning(_sentence(cfg, unread))


def warn_of_unread(cfg: WatchedConfig) -> None:
    """Warn of values that had no effect, because an earlier version may have trained a run with them."""
    unread = unread_keys(cfg)
    if unread:
        logger.warning(_sentence(cfg, unread))


def unread_keys(cfg: WatchedConfig) -> list[str]:
    """Return the keys of ``MODEL`` that differ from their defaults and were not read.

    In a paper's group of keys, such as ``MODEL.MPN``, all keys count as read if one is: some are for evaluation. Keys
    of a loss that ``MODEL.LOSSES.NAME`` does not name, and keys of external plug-ins, are not checked.
    """
    defaults, reads = plugins.own_cfg(), set(cfg.reads)
    return [key for key in _changed(cfg, defaults) if not _is_read(key, reads, cfg)]


def _changed(cfg: Any, defaults: Any) -> Iterator[str]:
    known = set(all_keys(defaults))
    for key in all_keys(cfg.MODEL, "MODEL."):
        if key in known and _plain(get_key(cfg, key)) != _plain(get_key(defaults, key)):
            yield key


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _is_read(key: str, reads: set[str], cfg: Any) -> bool:
    group = key.split(".")[1]
    if key in reads or key in _READ_ELSEWHERE or (key == _PATH and _PRETRAIN in reads):
        return True
    if group == "LOSSES":
        return key.split(".")[2] not in {loss.config_node for loss in _losses(cfg.MODEL)}
    own_group = group not in _HOST_GROUPS and key.count(".") > 1
    return own_group and any(read.startswith(f"MODEL.{group}.") for read in reads)


def _is_hosts(key: str) -> bool:
    from fastreid.config.defaults import _C

    return key in all_keys(_C)


def _parts(model: Any) -> list[Any]:
    """Return the architecture, the backbone and the head."""
    return [
        META_ARCH_REGISTRY.get(model.META_ARCHITECTURE),
        BACKBONE_REGISTRY.get(model.BACKBONE.NAME),
        REID_HEADS_REGISTRY.get(model.HEADS.NAME),
    ]


def _losses(model: Any) -> list[Any]:
    """Return the named losses, except those that an architecture computes itself."""
    return [LOSSES[name] for name in model.LOSSES.NAME if name in LOSSES]


def _module(part: Any) -> str:
    return f"{part.__module__}."


def _sentence(cfg: Any, keys: list[str]) -> str:
    defaults = plugins.own_cfg()
    values = " and ".join(f"{key} {get_key(cfg, key)!r}" for key in keys)
    back = ", ".join(f"{key} {get_key(defaults, key)!r}" for key in keys)
    model, one = cfg.MODEL, len(keys) == 1
    return (
        f"{values} would have no effect: MODEL.META_ARCHITECTURE {model.META_ARCHITECTURE} with MODEL.BACKBONE.NAME "
        f"{model.BACKBONE.NAME} and MODEL.HEADS.NAME {model.HEADS.NAME} does not read {'it' if one else 'them'}; "
        f"leave {'it' if one else 'them'} out, or set the default{'' if one else 's'}, {back}"
    )
