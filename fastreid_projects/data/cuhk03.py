"""CUHK03 with detected boxes by the new protocol; the host's ``CUHK03`` has the labelled boxes."""

from __future__ import annotations

from typing import Any

from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.cuhk03 import CUHK03


@DATASET_REGISTRY.register()
class CUHK03Detected(CUHK03):
    """Boxes of a detector, 767 training and 700 test identities (Zhong et al. 2017).

    Args:
        root: the folder that holds ``cuhk03/``, or ``cuhk03-np/``.
        **kwargs: passed to the host's class.
    """

    def __init__(self, root: str = "datasets", **kwargs: Any) -> None:
        super().__init__(root=root, **{**kwargs, "cuhk03_labeled": False})
