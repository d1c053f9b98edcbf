"""Patch of data/common.py: the host's dataset, under a name of this package."""

from __future__ import annotations

from fastreid.data import common as host_common

from fastreid_projects.host_import import rebind

_HostCommDataset = host_common.CommDataset


class CommDataset(_HostCommDataset):  # type: ignore[misc, valid-type]
    """The host's dataset, under a name of this package.

    A spawned worker unpickles the name first, and therefore patches the host before it imports any of it.
    """


def patch_dataset() -> None:
    """Replace the host's dataset (data/common.py:10) wherever it was imported."""
    rebind(_HostCommDataset, CommDataset)
