"""Plug-ins that a config can use: the papers of this project, those of installed packages, and those in ``PLUGINS``.

This is the only shared file that names papers.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from fastreid_projects import plugin_modules
from fastreid_projects.errors import ConfigError
from fastreid_projects.plugin_modules.loading import (
    Plugin,
    canonical,
    failing_in_one_sentence,
    installed_plugins,
    leave_out,
    load_plugin,
)

if TYPE_CHECKING:
    from fastreid_projects.typed_config import Config


class Paper(NamedTuple):
    """The plug-in of a paper.

    Attributes:
        add_config: ``"module:function"`` that adds its config keys.
        modules: modules that register its architectures, heads and losses when they are imported.
        path_keys: config keys that hold the path of another file, relative to the working folder, the folder of the
            YAML file, or a folder above.
        commands: (name, module, summary) of its commands, see :mod:`fastreid_projects.commands`.
        benchmark: the module with its ``CASES``; "" for none.
        demo: name of the config that shows it on the synthetic demo set.
    """

    add_config: str
    modules: tuple[str, ...]
    path_keys: tuple[str, ...] = ()
    commands: tuple[tuple[str, str, str], ...] = ()
    benchmark: str = ""
    demo: str = ""


PAPERS: dict[str, Paper] = {
    "AMD": Paper(
        add_config="fastreid_projects.amd.config:add_amd_config",
        modules=(
            "fastreid_projects.amd.heads",
            "fastreid_projects.amd.losses",
            "fastreid_projects.amd.meta_arch",
        ),
        path_keys=("MODEL.AMD.TARGET.CONFIG",),
        commands=(
            ("explain", "fastreid_projects.amd.command", "explain why images are near or far"),
            ("attribute-statistics", "fastreid_projects.amd.data.command", "draw how often attributes occur"),
        ),
        benchmark="fastreid_projects.amd.benchmark",
        demo="amd_r18_demo",
    ),
    "AIRNet": Paper(
        add_config="fastreid_projects.airnet.config:add_airnet_config",
        modules=("fastreid_projects.airnet.pooling", "fastreid_projects.airnet.meta_arch"),
        benchmark="fastreid_projects.airnet.benchmark",
        demo="airnet_r18_demo",
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
        demo="fidi_bagtricks_r18_demo",
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
        demo="mpn_r18_demo",
    ),
    "SAL": Paper(
        add_config="fastreid_projects.sal.config:add_sal_config",
        modules=(
            "fastreid_projects.sal.losses",
            "fastreid_projects.sal.heads",
            "fastreid_projects.sal.backbone",
            "fastreid_projects.sal.timm_backbone",
            "fastreid_projects.sal.classification",
            "fastreid_projects.sal.classifier",
        ),
        commands=(("attention-maps", "fastreid_projects.sal.command", "attention of a model's stages"),),
        benchmark="fastreid_projects.sal.benchmark",
        demo="sal_r18_demo",
    ),
}

SHARED_MODULES = (
    "fastreid_projects.losses.host_losses",
    "fastreid_projects.modeling.backbones.build",
    "fastreid_projects.data.cuhk03",
    "fastreid_projects.data.demo.dataset",
    "fastreid_projects.data.demo.pretraining",
    "fastreid_projects.data.distractors",
    "fastreid_projects.data.folder",
    "fastreid_projects.data.multi_query",
)


# The functions that add keys that do not belong to a single paper.
SHARED_KEYS = (
    "fastreid_projects.config.keys:add_common_config",
    "fastreid_projects.losses.config:add_loss_config",
)


def own_cfg() -> Any:
    """Return the host's defaults with the keys of this project and its papers."""
    from fastreid.config.defaults import _C

    cfg: Any = _C.clone()
    for name in (*SHARED_KEYS, *(paper.add_config for paper in PAPERS.values())):
        _resolve(name)(cfg)
    return cfg


def get_cfg() -> Config:
    """Return the host's defaults with the keys of all papers and installed plug-ins, and register their classes."""
    cfg = own_cfg()
    register_all()
    for plugin in installed_plugins():
        try:
            _add_keys(cfg, plugin)
        except ConfigError as error:
            leave_out(plugin.package, str(error))
    return cfg


def add_plugin(cfg: Any, name: str) -> None:
    """Import an external plug-in, add its keys to a config, and add its name to ``PLUGINS``.

    Afterwards the config may name whatever it holds. A plug-in that the config already has is ignored.

    Args:
        cfg: a config that is not frozen.
        name: a module, or the path of a Python file.

    Raises:
        ConfigError: the plug-in does not exist, fails, or changes a key of someone else.
    """
    name = canonical(name)
    if name not in cfg.PLUGINS:
        _add_keys(cfg, load_plugin(name))
        cfg.PLUGINS = [*cfg.PLUGINS, name]


def used_plugins(cfg: Any) -> list[Plugin]:
    """Return the external plug-ins that a config can use: those of installed packages, then those it names."""
    return [*installed_plugins(), *(load_plugin(name) for name in cfg.get("PLUGINS", []))]


def _add_keys(cfg: Any, plugin: Plugin) -> None:
    """Call the plug-in's ``add_config(cfg)``, if it has one; if that fails, the config stays as it was."""
    add_config = vars(plugin.module).get("add_config")
    if add_config is None:
        return
    before = cfg.clone()
    try:
        with failing_in_one_sentence(plugin.name, plugin.module.__name__):
            add_config(cfg)
        changed = _changed_key(before, cfg)
        if changed:
            raise ConfigError(
                f"{plugin.name} changes {changed} in its add_config, a key that it has not added; set it in a config"
            )
    except ConfigError:
        cfg.clear()
        cfg.update(before)
        raise


def _changed_key(before: Any, after: Any, group: str = "") -> str:
    """Return the first key that was removed or has another value; "" if there is none."""
    for name, value in before.items():
        key = f"{group}{name}"
        if isinstance(value, dict) and isinstance(after.get(name), dict):
            key = _changed_key(value, after[name], f"{key}.")
            if key:
                return key
        elif name not in after or after[name] != value:
            return key
    return ""


def register_all() -> None:
    """Import all modules that register something: losses, datasets, heads and architectures."""
    for module in SHARED_MODULES:
        importlib.import_module(module)
    for paper in PAPERS.values():
        for module in paper.modules:
            importlib.import_module(module)


def is_ours(part: Any) -> bool:
    """Return whether a registered class or function belongs to this project, and not to an external plug-in."""
    module = f"{part.__module__}."
    package = f"{__name__.partition('.')[0]}."
    return module.startswith(package) and not module.startswith(f"{plugin_modules.__name__}.")


def path_keys() -> tuple[str, ...]:
    """Return all config keys that hold the path of another file."""
    return tuple(key for paper in PAPERS.values() for key in paper.path_keys)


def _resolve(name: str) -> Callable[..., Any]:
    module, function = name.split(":")
    return getattr(importlib.import_module(module), function)
