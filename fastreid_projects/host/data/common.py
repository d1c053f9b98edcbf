"""Patch of data/common.py: the host's dataset, under a name of this package."""

from __future__ import annotations

from typing import Any

from fastreid.data import common as host_common

from fastreid_projects.data.byte_images import ReadsFiles
from fastreid_projects.host_import import rebind

_HostCommDataset = host_common.CommDataset


class CommDataset(_HostCommDataset):  # type: ignore[misc, valid-type]
    """The host's dataset, under a name of this package.

    A spawned worker unpickles the name first, and therefore patches the host before it imports any of it.
    """

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the host's item; transforms that read files themselves do so."""
        if not isinstance(self.transform, ReadsFiles):
            item: dict[str, Any] = super().__getitem__(index)
            return item
        path, pid, camid = self.img_items[index][:3]
        return {
            "images": self.transform.read(path),
            "targets": self.pid_dict[pid] if self.relabel else pid,
            "camids": self.cam_dict[camid] if self.relabel else camid,
            "img_paths": path,
        }


def patch_dataset() -> None:
    """Replace the host's dataset (data/common.py:10) wherever it was imported."""
    rebind(_HostCommDataset, CommDataset)
