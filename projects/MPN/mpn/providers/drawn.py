"""The true body parts of the synthetic demo set."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastreid_projects.data.demo.masks import load_masks
from fastreid_projects.errors import DataError

from ..data.part_masks import FROM_DRAWN
from .base import Found


class DrawnProvider:
    """Read the masks that were drawn with the image; there are no options."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        pass

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Add no options."""

    def find(self, image: np.ndarray, path: str) -> Found:
        """Return the maps of an RGB image (h, w, 3) and its path.

        Raises:
            DataError: the image does not belong to the synthetic demo set.
        """
        try:
            parts = FROM_DRAWN[load_masks(path).parts]
        except DataError as error:
            raise DataError(
                f"{path} is not an image of the synthetic demo set ({error}): use another provider, e.g. blazepose"
            ) from error
        return Found(parts, parts > 0)
