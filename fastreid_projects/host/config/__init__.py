"""Patches of ``fastreid/config``."""

from fastreid_projects.patches import patch_host

patch_host()  # in its order, before a module here is imported on its own
