"""The papers of this project: the only shared file that names them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple


class Paper(NamedTuple):
    """A paper's plug-in.

    Attributes:
        add_config: ``"module:function"`` that adds its config keys.
        modules: modules that register its architectures, heads and losses when they are imported.
        path_keys: config keys that hold the path of another file, relative to the working folder, the
            yaml's, or one above.
    """

    add_config: str
    modules: tuple[str, ...]
    path_keys: tuple[str, ...] = ()


PAPERS: dict[str, Paper] = {
    "AMD": Paper(
        add_config="fastreid_projects.amd.config:add_amd_config",
        modules=(
            "fastreid_projects.amd.heads",
            "fastreid_projects.amd.losses",
            "fastreid_projects.amd.meta_arch",
        ),
        path_keys=("MODEL.AMD.TARGET.CONFIG",),
    ),
    "AIRNet": Paper(
        add_config="fastreid_projects.airnet.config:add_airnet_config",
        modules=("fastreid_projects.airnet.pooling", "fastreid_projects.airnet.meta_arch"),
    ),
    "FIDI": Paper(
        add_config="fastreid_projects.fidi.config:add_fidi_config",
        modules=(
            "fastreid_projects.fidi.losses",
            "fastreid_projects.fidi.contrastive",
            "fastreid_projects.fidi.bdb",
        ),
    ),
    "MPN": Paper(
        add_config="fastreid_projects.mpn.config:add_mpn_config",
        modules=("fastreid_projects.mpn.heads", "fastreid_projects.mpn.meta_arch"),
        path_keys=("MODEL.MPN.IDE",),
    ),
    "SAL": Paper(
        add_config="fastreid_projects.sal.config:add_sal_config",
        modules=(
            "fastreid_projects.sal.losses",
            "fastreid_projects.sal.heads",
            "fastreid_projects.sal.backbone",
            "fastreid_projects.sal.classification",
            "fastreid_projects.sal.classifier",
        ),
    ),
}

SHARED_MODULES = (
    "fastreid_projects.losses.host_losses",
    "fastreid_projects.data.cuhk03",
    "fastreid_projects.data.demo.dataset",
    "fastreid_projects.data.folder",
    "fastreid_projects.data.multi_query",
)


# What adds the keys that belong to no single paper.
SHARED_KEYS = (
    "fastreid_projects.config.keys:add_common_config",
    "fastreid_projects.losses.config:add_loss_config",
)


def get_cfg() -> Any:
    """The host's default config with this project's keys; everything is registered afterwards."""
    from fastreid.config import get_cfg as host_cfg

    cfg = host_cfg()
    for name in (*SHARED_KEYS, *(paper.add_config for paper in PAPERS.values())):
        _resolve(name)(cfg)
    register_all()
    return cfg


def register_all() -> None:
    """Import whatever registers itself: losses, datasets, heads, architectures."""
    for module in SHARED_MODULES:
        importlib.import_module(module)
    for paper in PAPERS.values():
        for module in paper.modules:
            importlib.import_module(module)


def path_keys() -> tuple[str, ...]:
    """All config keys that hold the path of another file."""
    return tuple(key for paper in PAPERS.values() for key in paper.path_keys)


def _resolve(name: str) -> Callable[..., Any]:
    module, function = name.split(":")
    return getattr(importlib.import_module(module), function)
