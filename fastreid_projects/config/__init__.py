"""Read, check and resolve configs; add the keys of this project."""

from fastreid_projects.patches import patch_host

patch_host()  # before a module of this package imports the host, because the patches need this package

from fastreid_projects.config.reading import load_config  # noqa: E402
from fastreid_projects.config.values import all_keys, config_leaves, get_key, set_key  # noqa: E402

__all__ = ["all_keys", "config_leaves", "get_key", "load_config", "set_key"]
