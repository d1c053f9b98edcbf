"""Patch of data/data_utils.py: images are read by this project."""

from __future__ import annotations

from fastreid.data import data_utils

from fastreid_projects.data.images import read_image
from fastreid_projects.host_import import rebind

_host_read_image = data_utils.read_image


def patch_images() -> None:
    """Replace the host's image reading."""
    rebind(_host_read_image, read_image)
