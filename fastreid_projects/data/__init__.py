"""Datasets, attributes, samplers, and the synthetic demo set."""

from fastreid_projects.patches import patch_host

patch_host()  # before a module of this room imports the host, whose patches need the room
