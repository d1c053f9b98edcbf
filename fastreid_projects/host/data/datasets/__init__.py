"""Patches of data/datasets/*.py: files are sorted by name, and labels come from the file name."""

from __future__ import annotations

import copy
from typing import Any

from fastreid.config.defaults import _C
from fastreid.data.datasets import bases

from fastreid_projects.contract import NamesPeople
from fastreid_projects.host.data.datasets.cuhk03 import patch_cuhk03
from fastreid_projects.host.data.datasets.folders import patch_folders
from fastreid_projects.host.data.datasets.listing import patch_listing
from fastreid_projects.host.data.datasets.lists import patch_lists
from fastreid_projects.host.data.datasets.names import patch_names
from fastreid_projects.host.data.datasets.trained_only import patch_trained_only
from fastreid_projects.host.data.datasets.vehicleid import patch_vehicleid


def patch_datasets() -> None:
    """Sort files by name, read labels from the file name, and name whatever is missing.

    Also add keys of DATASETS.
    """
    if "ID_FRACTION" not in _C.DATASETS:
        # The share of the training identities that is used, and the seed for choosing them.
        _C.DATASETS.ID_FRACTION, _C.DATASETS.ID_FRACTION_SEED = 1.0, 0
        # For test sets that draw their gallery at random (VehicleID's): the seed of the draw, and the number of draws,
        # with this seed and the following ones, over which metrics are averaged. Liu et al. 2016 draw ten times.
        _C.DATASETS.SPLIT_SEED, _C.DATASETS.SPLIT_DRAWS = 0, 1
    patch_listing()
    patch_names()
    patch_folders()
    patch_cuhk03()
    patch_lists()
    patch_vehicleid()
    patch_trained_only()
    bases.Dataset.combine_all = combine_all


def combine_all(self: Any) -> None:
    """Add query and gallery to the training images; bases.py:117 fails for items with more fields."""
    combined = copy.deepcopy(self.train)
    name = self.dataset_name if isinstance(self, NamesPeople) else "Unknown"
    for path, pid, camid, *rest in [*self.query, *self.gallery]:
        if pid not in self._junk_pids:
            combined.append((path, f"{name}_test_{pid}", f"{name}_test_{camid}", *rest))
    self._train = combined
