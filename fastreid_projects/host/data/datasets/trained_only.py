"""Patches of the datasets that FastReID uses only for training: an unexpected file is named."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any

from fastreid.data import datasets

from fastreid_projects.errors import DataError

# The datasets that read labels from the names of files and folders.
LISTED = (
    datasets.CAVIARa,
    datasets.GRID,
    datasets.iLIDS,
    datasets.LPW,
    datasets.PeS3D,
    datasets.PKU,
    datasets.PRAI,
    datasets.PRID,
    datasets.SAIVT,
    datasets.SenseReID,
    datasets.Shinpuhkan,
    datasets.SYSU_mm,
    datasets.Thermalworld,
    datasets.VIPeR,
    datasets.WildTrackCrop,
)
TRAINED_ONLY = (*LISTED, datasets.AirportALERT, datasets.cuhkSYSU)


def patch_trained_only() -> None:
    """Name the file that cannot be read; prid.py:38 and others fail on any unexpected name."""
    for dataset in TRAINED_ONLY:
        dataset.trains_only = True
    for dataset in LISTED:
        name = "process_train" if hasattr(dataset, "process_train") else "process_dir"
        setattr(dataset, name, _naming_the_file(getattr(dataset, name)))


def _naming_the_file(process: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    @functools.wraps(process)
    def wrapped(self: Any, path: str) -> list[Any]:
        try:
            return process(self, path)
        except (IndexError, ValueError) as error:
            raise DataError(
                f"{_image_at_hand(error.__traceback__) or path} is not named as {type(self).__name__} names its "
                "images: rename or remove it."
            ) from error
        except NotADirectoryError as error:
            raise DataError(
                f"{error.filename} is a file where {type(self).__name__} has folders: remove it."
            ) from error

    return wrapped


def _image_at_hand(trace: TracebackType | None) -> str:
    """Return the image that the host's function was reading when it failed; "" if that is unknown."""
    last = trace
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    path = last.tb_frame.f_locals.get("img_path") if last is not None else None
    return path if isinstance(path, str) else ""
