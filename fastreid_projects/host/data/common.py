"""Patch of data/common.py: the host's dataset, under a name of this package."""

from __future__ import annotations

from typing import Any

from fastreid.data import common as host_common

from fastreid_projects.data.images import reading_at_least
from fastreid_projects.host_import import rebind

_HostCommDataset = host_common.CommDataset


class CommDataset(_HostCommDataset):  # type: ignore[misc, valid-type]
    """The host's dataset, under a name of this package.

    A spawned worker unpickles the name first, and so patches its host before it imports any of it.
    """

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The host's item; its image is decoded at a reduced size where the transforms say so."""
        with reading_at_least(getattr(self.transform, "least_size", None)):
            item: dict[str, Any] = super().__getitem__(index)
        return item


def patch_dataset() -> None:
    """Replace the host's dataset (data/common.py:10) wherever it was imported."""
    rebind(_HostCommDataset, CommDataset)
