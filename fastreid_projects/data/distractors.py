"""Market-1501 with its 500,000 distractors (Zheng et al. 2015) in the gallery."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.market1501 import Market1501

from fastreid_projects.data.images import is_picture
from fastreid_projects.errors import DataError

_NOBODY = 0  # Market-1501's own number of distractors
_NO_CAMERA = -1


@DATASET_REGISTRY.register()
class Market1501Distractors500k(Market1501):
    """Market-1501 with the pictures in the folder ``images`` added to its gallery.

    The host's class has an argument for these distractors, but a config cannot set it. All pictures in the folder are
    distractors, whatever their names.

    Args:
        root: the folder that holds ``Market-1501-v15.09.15/``, and in it ``images/``.
        **kwargs: passed to the host's class.

    Raises:
        DataError: there is no folder ``images``, or it holds no pictures.
    """

    people: ClassVar[str] = Market1501.__name__

    def __init__(self, root: str = "datasets", **kwargs: Any) -> None:
        super().__init__(root=root, **{**kwargs, "market1501_500k": True})

    def process_dir(self, dir_path: str, is_train: bool = True) -> list[tuple[str, Any, Any]]:
        """List the images of a folder; see the host's method."""
        if dir_path != self.extra_gallery_dir:
            return super().process_dir(dir_path, is_train)
        names = sorted(name for name in os.listdir(dir_path) if is_picture(name) and name[:1] != ".")
        if not names:
            raise DataError(
                f"{dir_path} does not hold any distractors: put the pictures of distractors_500k there"
            )
        return [(os.path.join(dir_path, name), _NOBODY, _NO_CAMERA) for name in names]
