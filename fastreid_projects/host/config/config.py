"""Patches of config/config.py: FastReID's configs have the keys of this project, and read files as it does."""

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

    * config.py:156 knows only the host's keys: its Distiller and ``DefaultPredictor`` refuse the config of a run.
    * config.py:79 does not accept a list as ``_BASE_``, or 1 or 1e-4 as a float.
    """
    rebind(host_config.get_cfg, plugins.get_cfg)
    host_config.CfgNode.merge_from_file = merge_from_file


@functools.wraps(_host_merge_from_file)
def merge_from_file(self: Any, cfg_filename: str, allow_unsafe: bool = False) -> None:
    """Merge a file with all its bases, as `merge_config` does.

    Configs without the keys of this project, and files that may run code, are left to the host.
    """
    if allow_unsafe or "STAGES" not in self:
        _host_merge_from_file(self, cfg_filename, allow_unsafe)
    else:
        merge_config(self, PathManager.get_local_path(cfg_filename))
