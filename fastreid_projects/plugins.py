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
        commands: (name, module, what it does) of its commands, see :mod:`fastreid_projects.commands`.
        benchmark: module with its ``CASES``, "" for none.
    """

    add_config: str
    modules: tuple[str, ...]
    path_keys: tuple[str, ...] = ()
    commands: tuple[tuple[str, str, str], ...] = ()
    benchmark: str = ""


PAPERS: dict[str, Paper] = {
    "AMD": Paper(
        add_config="fastreid_projects.amd.config:add_amd_config",
        modules=(
            "fastreid_projects.amd.heads",
            "fastreid_projects.amd.losses",
            "fastreid_projects.amd.meta_arch",
        ),
        path_keys=("MODEL.AMD.TARGET.CONFIG",),
        commands=(("explain", "fastreid_projects.amd.command", "explain why images are near or far"),),
        benchmark="fastreid_projects.amd.benchmark",
    ),
    "AIRNet": Paper(
        add_config="fastreid_projects.airnet.config:add_airnet_config",
        modules=("fastreid_projects.airnet.pooling", "fastreid_projects.airnet.meta_arch"),
        benchmark="fastreid_projects.airnet.benchmark",
    ),
    "FIDI": Paper(
        add_config="fastreid_projects.fidi.config:add_fidi_config",
        modules=(
            "fastreid_projects.fidi.losses",
            "fastreid_projects.fidi.contrastive",
            "fastreid_projects.fidi.bdb",
        ),
        commands=(("fidi-sweep", "fastreid_projects.fidi.command", "vary FIDI's alpha and beta"),),
        benchmark="fastreid_projects.fidi.benchmark",
    ),
    "MPN": Paper(
        add_config="fastreid_projects.mpn.config:add_mpn_config",
        modules=("fastreid_projects.mpn.heads", "fastreid_projects.mpn.meta_arch"),
        path_keys=("MODEL.MPN.IDE",),
        commands=(
            ("make-part-priors", "fastreid_projects.mpn.priors.command", "make masks of body parts"),
            ("part-maps", "fastreid_projects.mpn.command", "show where MPN looks for each part"),
        ),
        benchmark="fastreid_projects.mpn.benchmark",
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
        commands=(("attention-maps", "fastreid_projects.sal.command", "attention of a model's stages"),),
        benchmark="fastreid_projects.sal.benchmark",
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
