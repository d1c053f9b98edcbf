"""Patches of data/datasets/cuhk03.py: how it unpacks the published .mat file, and where its images lie."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
from typing import Any

from fastreid.data.datasets.bases import ImageDataset
from fastreid.data.datasets.cuhk03 import CUHK03
from PIL import Image

from fastreid_projects.data.datasets import not_found
from fastreid_projects.data.new_protocol import NEW_PROTOCOL, find_new_protocol, read_new_protocol
from fastreid_projects.errors import DataError
from fastreid_projects.files import locked

logger = logging.getLogger("fastreid.projects.host.datasets")

_host_init = CUHK03.__init__
_host_preprocess = CUHK03.preprocess_split


def patch_cuhk03() -> None:
    """Read ``cuhk03-np`` if only that exists, unpack once, and find the images of a folder that was moved."""
    CUHK03.__init__ = cuhk03_init
    CUHK03.preprocess_split = preprocess_split


@functools.wraps(_host_init)
def cuhk03_init(
    self: Any,
    root: str = "datasets",
    split_id: int = 0,
    cuhk03_labeled: bool = True,
    cuhk03_classic_split: bool = False,
    **kwargs: Any,
) -> None:
    """Open the dataset; see the host's arguments.

    The split files hold absolute paths of the folder into which the images were unpacked (cuhk03.py:220); if the folder
    was moved, the images are read from its current place.
    """
    kind, raw = "labeled" if cuhk03_labeled else "detected", os.path.join(root, self.dataset_dir)
    folder = "" if os.path.isdir(raw) or cuhk03_classic_split else find_new_protocol(root, kind)
    if folder:
        logger.info("%s is read from %s", type(self).__name__, folder)
        self.dataset_dir = folder
        ImageDataset.__init__(self, *read_new_protocol(folder), **kwargs)
        return
    if not os.path.isdir(raw):
        raise not_found(raw, NEW_PROTOCOL[0])
    try:
        _host_init(self, root, split_id, cuhk03_labeled, cuhk03_classic_split, **kwargs)
    except json.JSONDecodeError as error:
        raise DataError(
            f"A split file of {self.dataset_dir} is incomplete ({error}): delete {_names(_splits(self))}; they will be "
            "written again."
        ) from error
    images = self.imgs_labeled_dir if cuhk03_labeled else self.imgs_detected_dir
    self._train, self._query, self._gallery = (
        [(os.path.join(images, os.path.basename(path)), *labels) for path, *labels in part]
        for part in (self.train, self.query, self.gallery)
    )


def preprocess_split(self: Any) -> None:
    """Unpack the images and write the splits in one process, while the others wait.

    cuhk03.py:93 lets all processes write the same files; cuhk03.py:128 takes a truncated image for a complete one.

    Raises:
        DataError: the files cannot be read, or the folder cannot be written.
    """
    if _is_unpacked(self):
        return
    try:
        with locked(os.path.join(self.dataset_dir, ".unpacking.lock")):
            if not _is_unpacked(self):
                _remove_broken(self)
                _host_preprocess(self)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"CUHK03 cannot be unpacked from {self.raw_mat_path} into {self.dataset_dir} ({error}): check that the "
            ".mat files are those of its publishers, and that the folder can be written."
        ) from error


def _splits(self: Any) -> list[str]:
    """Return the files that the host writes last, in its order."""
    return [
        self.split_classic_det_json_path,
        self.split_classic_lab_json_path,
        self.split_new_det_json_path,
        self.split_new_lab_json_path,
    ]


def _is_unpacked(self: Any) -> bool:
    return all(map(os.path.exists, [self.imgs_labeled_dir, self.imgs_detected_dir, *_splits(self)]))


def _remove_broken(self: Any) -> None:
    """Remove the images in which an unpacking was killed; the host keeps existing files."""
    for folder in (self.imgs_labeled_dir, self.imgs_detected_dir):
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                try:
                    with Image.open(path) as image:
                        image.verify()
                except (OSError, SyntaxError):
                    os.remove(path)


def _names(paths: list[str]) -> str:
    return ", ".join(map(os.path.basename, paths))
