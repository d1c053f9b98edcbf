"""Configs: read, checked and resolved; the keys of this project."""

from fastreid_projects.config.reading import load_config
from fastreid_projects.config.values import all_keys, config_leaves, get_key, set_key

__all__ = ["all_keys", "config_leaves", "get_key", "load_config", "set_key"]
