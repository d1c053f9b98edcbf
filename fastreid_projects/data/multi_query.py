"""Market-1501 with multiple queries (Zheng et al. 2015): the images of ``gt_bbox`` as queries."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.market1501 import Market1501

from fastreid_projects.errors import DataError


@DATASET_REGISTRY.register()
class Market1501MultiQuery(Market1501):
    """Market-1501's gallery, and for each of its queries all images of that person by that camera in ``gt_bbox``.

    Their features are averaged before ranking. With both ``Market1501`` and this set in ``DATASETS.TESTS``, one run
    gives the single-query and the multi-query column of a table.

    Args:
        root: the folder that holds ``Market-1501-v15.09.15/``.
        **kwargs: passed to the host's class.

    Raises:
        DataError: there is no ``gt_bbox``.
    """

    multi_query: ClassVar[bool] = True
    people: ClassVar[str] = Market1501.__name__

    def __init__(self, root: str = "datasets", **kwargs: Any) -> None:
        super().__init__(root=root, **kwargs)
        folder = os.path.join(self.data_dir, "gt_bbox")
        if not os.path.isdir(folder):
            raise DataError(f"{folder} is not found: multiple queries need the folder gt_bbox of Market-1501")
        asked = {(pid, camid) for _, pid, camid in self.query}
        boxes = self.process_dir(folder, is_train=False)
        self.query_dir = folder
        self._query = [item for item in boxes if (item[1], item[2]) in asked]
