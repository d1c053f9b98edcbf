"""Patches of config/config.py: FastReID's own way to a config knows and reads what this project's does."""

from __future__ import annotations

import functools
from typing import Any

from fastreid.config import config as host_config
from fastreid.utils.file_io import PathManager

from fastreid_projects import plugins
from fastreid_projects.config.reading import merge_config
from fastreid_projects.host_import import rebind

_host_merge_from_file = host_config.CfgNode.merge_from_file


def patch_config() -> None:
    """Add this project's keys to ``get_cfg()``, and read files as `load_config` does.

    * config.py:156 knows the host's keys alone: its Distiller and ``DefaultPredictor`` refuse the config of a run here.
    * config.py:79 takes no list as ``_BASE_``, and neither 1 nor 1e-4 for a float.
    """
    rebind(host_config.get_cfg, plugins.get_cfg)
    host_config.CfgNode.merge_from_file = merge_from_file


@functools.wraps(_host_merge_from_file)
def merge_from_file(self: Any, cfg_filename: str, allow_unsafe: bool = False) -> None:
    """Merge a file with all that it builds on, as of `merge_config`.

    Configs without the keys of this project, and files that may run code, are left to the host.
    """
    if allow_unsafe or "STAGES" not in self:
        _host_merge_from_file(self, cfg_filename, allow_unsafe)
    else:
        merge_config(self, PathManager.get_local_path(cfg_filename))
