"""The true body parts of the drawn people."""

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
    """Reads the masks that were drawn with the image; has no options."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        pass

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """None to add."""

    def find(self, image: np.ndarray, path: str) -> Found:
        """RGB (h, w, 3) and its path -> the maps.

        Raises:
            DataError: the image is not one of the drawn dataset.
        """
        try:
            parts = FROM_DRAWN[load_masks(path).parts]
        except DataError as error:
            raise DataError(
                f"{path} is no image of the drawn people ({error}): use another provider, e.g. blazepose"
            ) from error
        return Found(parts, parts > 0)
