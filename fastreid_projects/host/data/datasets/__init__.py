"""Patches of data/datasets/*.py: files in the order of their names, labels from the file's name."""

from __future__ import annotations

import copy
from typing import Any

from fastreid.config.defaults import _C
from fastreid.data.datasets import bases

from fastreid_projects.host.data.datasets.folders import patch_folders
from fastreid_projects.host.data.datasets.listing import patch_listing
from fastreid_projects.host.data.datasets.names import patch_names


def patch_datasets() -> None:
    """List files in the order of their names, read labels from the file's name, name what is missing.

    Adds DATASETS.ID_FRACTION, the share of the training identities that is used, and the seed of that choice.
    """
    if "ID_FRACTION" not in _C.DATASETS:
        _C.DATASETS.ID_FRACTION, _C.DATASETS.ID_FRACTION_SEED = 1.0, 0
    patch_listing()
    patch_names()
    patch_folders()
    bases.Dataset.combine_all = combine_all


def combine_all(self: Any) -> None:
    """Add query and gallery to the training images; bases.py:117 fails for items of more fields."""
    combined = copy.deepcopy(self.train)
    name = getattr(self, "dataset_name", "Unknown")
    for path, pid, camid, *rest in [*self.query, *self.gallery]:
        if pid not in self._junk_pids:
            combined.append((path, f"{name}_test_{pid}", f"{name}_test_{camid}", *rest))
    self._train = combined
