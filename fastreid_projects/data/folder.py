"""Own pictures as a dataset: ``DATASETS.NAMES "('FolderReID',)"`` reads ``FASTREID_DATASETS/FolderReID``.

``'FolderReID:shop'`` reads ``FASTREID_DATASETS/shop``, and a path, ``'/data/shop'`` or ``'./shop'``, that folder: as
many as one likes. There lies either a table ``labels.csv`` with the columns ``path, pid, camid, split`` (others are
left alone, or are attributes by an ``attributes.yaml``), or three folders ``train``, ``query`` and ``gallery`` with a
folder of pictures for each person::

    train/anna/c1_0001.jpg      # the person is the folder's name, the camera c1, cam1, camera_1 in the picture's
    query/anna/cam1/0002.jpg    # or in a folder's; or no camera at all
    gallery/anna/cam2/0001.jpg

Pictures of the person -1 are junk, those of 0000 distractors, as in Market-1501. A folder without ``train`` is for
tests alone. ``python -m fastreid_projects.data.folder FOLDER`` reads all of it, pictures included, and names what is
wrong.
"""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

if __name__ == "__main__":
    import fastreid_projects.required  # noqa: F401  (without a host: one sentence)

import numpy as np
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset

from fastreid_projects.data.attribute_check import check_folder_attributes, check_identity_table
from fastreid_projects.data.datasets import check_matches, matched_queries, not_found
from fastreid_projects.data.images import read_image
from fastreid_projects.data.own.columns import OwnAttributes
from fastreid_projects.data.own.entries import (
    SPLITS,
    TABLE,
    Pictures,
    check_spelling,
    numbered,
    numbers,
    remarks,
    without_junk,
)
from fastreid_projects.data.own.labels import Labels, folder_words, label_entries
from fastreid_projects.data.own.names import NAME, own_folder
from fastreid_projects.data.own.table import read_table
from fastreid_projects.data.own.tree import read_folders
from fastreid_projects.errors import DataError

logger = logging.getLogger("fastreid.projects.data")

_DISTRACTORS = "0000"


def read_pictures(folder: Path) -> Pictures:
    """Read a folder by its table or by its folders; the pictures themselves are not opened.

    Raises:
        DataError: neither is there, or a row or a name that cannot be used.
    """
    if not folder.is_dir():
        raise not_found(str(folder))
    if (folder / TABLE).is_file():
        pictures = read_table(folder / TABLE)
    elif any((folder / split).is_dir() for split in SPLITS):
        pictures = read_folders(folder)
    else:
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise DataError(
            f"{folder} holds neither {TABLE} nor one of the folders {', '.join(SPLITS)}, but {found}: make one of both"
        )
    pictures = without_junk(pictures)
    check_spelling(pictures.entries)
    return pictures


@DATASET_REGISTRY.register()
class FolderReID(ImageDataset):
    """Own pictures; see the module.

    Args:
        root: the folder that holds ``folder``.
        **kwargs: the host's.

    Attributes:
        folder: its name, or its path.
        junk: how many test pictures are left out as junk.

    Raises:
        DataError: see :func:`read_pictures`.
    """

    folder: ClassVar[str] = NAME
    dataset_name = NAME

    def __init__(self, root: str = "datasets", **kwargs: Any) -> None:
        self.dataset_dir = os.path.join(root, os.path.expanduser(self.folder))
        pictures = read_pictures(Path(self.dataset_dir))
        items = numbered(pictures.entries, self.dataset_name)
        self.remarks = remarks(pictures, self.dataset_dir)
        self.junk = pictures.junk
        people = numbers(entry.pid for entry in pictures.entries)
        asked = {item[1] for item in items["query"]}
        distractors = people.get(_DISTRACTORS)
        self._junk_pids = [] if distractors is None or distractors in asked else [distractors]
        self._entries = pictures.entries
        super().__init__(items["train"], items["query"], items["gallery"], **kwargs)

    @classmethod
    def attribute_set_below(cls, root: str) -> OwnAttributes | None:
        """Return what the folder's ``attributes.yaml`` says, before the folder is read; None where there is none.

        Raises:
            DataError: it cannot be used.
        """
        return folder_words(Path(root, os.path.expanduser(cls.folder)))

    def attribute_labels(self, items: Sequence[Any]) -> tuple[OwnAttributes, Labels] | None:
        """Return the attributes and their values in pictures, int8 (len(items), M); None without ``attributes.yaml``.

        Args:
            items: (path, identity, camera) of train, query or gallery.

        Raises:
            DataError: the words or the tables cannot be used; names file and line.
        """
        if self._labelled is None:
            return None
        words, by_path = self._labelled
        rows = [by_path[item[0]] for item in items]
        return words, np.stack(rows) if rows else np.empty((0, len(words)), np.int8)

    @functools.cached_property
    def _labelled(self) -> tuple[OwnAttributes, dict[str, Labels]] | None:
        """The attributes of all pictures by their paths; read when they are asked for."""
        folder = Path(self.dataset_dir)
        words = folder_words(folder)
        if words is None:
            return None
        labels = label_entries(folder, self._entries, words)
        return words, {entry.path: row for entry, row in zip(self._entries, labels, strict=True)}

    def show_train(self) -> None:
        """Log the table of the training pictures, and once what is to be known about the folder."""
        super().show_train()
        _remark(self.dataset_dir, tuple(self.remarks))

    def show_test(self) -> None:
        """Log the table of the test pictures, and once what is to be known about the folder."""
        super().show_test()
        _remark(self.dataset_dir, tuple(self.remarks))


@functools.cache
def _remark(folder: str, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        logger.warning("%s: %s", folder, sentence)


@functools.cache
def own_dataset(name: str) -> type[FolderReID] | None:
    """Return the dataset of ``FolderReID:folder`` or of a path; None where the name is of another kind."""
    folder = own_folder(name)
    if folder is None:
        return None
    return type(
        name, (FolderReID,), {"folder": folder, "dataset_name": folder, "__doc__": FolderReID.__doc__}
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Check a folder: every row, every picture, and that there is something to rank."""
    from fastreid_projects.command_line.one_sentence import one_sentence

    parser = argparse.ArgumentParser(description="Check own pictures for DATASETS.NAMES \"('FolderReID',)\"")
    parser.add_argument(
        "folder",
        help="with labels.csv, or with the folders train, query and gallery; or an attributes.yaml for another dataset",
    )
    parser.add_argument("--same-camera", action="store_true", help="tests are with TEST.SAME_CAMERA True")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    return one_sentence(lambda: check(Path(args.folder), args.same_camera), debug=args.debug)


def check(folder: Path, same_camera: bool = False) -> None:
    """Read all of a folder and print what it holds, what is left out, its attributes, and what tests would count.

    Args:
        folder: with the table or the folders, or the table; one that is not here is looked for below
            FASTREID_DATASETS. Or an ``attributes.yaml`` for the identities of another dataset.
        same_camera: the tests are with TEST.SAME_CAMERA.

    Raises:
        DataError: the first thing that is wrong, with its row or file.
    """
    if folder.is_file() and folder.suffix in (".yaml", ".yml"):
        check_identity_table(folder)
        return
    below = Path(os.environ.get("FASTREID_DATASETS", "datasets")) / folder
    folder = below if below.exists() and not folder.exists() else folder
    if folder.is_file():
        if folder.name != TABLE:
            raise DataError(f"{folder} is a file: name the folder that holds {TABLE} or the pictures")
        folder = folder.parent
    pictures = read_pictures(folder)
    for sentence in remarks(pictures, str(folder)):
        print(f"warning: {sentence}")
    for entry in pictures.entries:
        try:
            read_image(entry.path)
        except DataError as error:
            raise DataError(str(error) if entry.where == entry.path else f"{entry.where}: {error}") from error
    items = numbered(pictures.entries, NAME)
    for split in SPLITS:
        people, cameras = (len({item[i] for item in items[split]}) for i in (1, 2))
        print(
            f"{split}: {_counted(len(items[split]), 'picture', 'pictures')} of {_counted(people, 'person', 'people')} "
            f"by {_counted(cameras, 'camera', 'cameras')}"
        )
    check_folder_attributes(folder, pictures.entries)
    _check_tests(
        folder, items["query"], items["gallery"], trained=bool(items["train"]), same_camera=same_camera
    )


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _check_tests(
    folder: Path, query: list[Any], gallery: list[Any], *, trained: bool, same_camera: bool
) -> None:
    """Print what tests would count.

    Raises:
        DataError: a split is missing that another one needs, or nothing can be found.
    """
    if not query and not gallery:
        if not trained:
            raise DataError(f"{folder} has no pictures of the splits {', '.join(SPLITS)}")
        print("no query and no gallery: for DATASETS.NAMES alone")
        return
    for split, items in (("query", query), ("gallery", gallery)):
        if not items:
            raise DataError(f"{folder} has no pictures of the split {split}: tests need query and gallery")
    if not trained:
        print("no pictures of the split train: for DATASETS.TESTS alone")
    check_matches(str(folder), [*query, *gallery], len(query), same_camera=same_camera)
    found = matched_queries([*query, *gallery], len(query), same_camera=same_camera)
    asked = {item[1] for item in query}
    distractors = sum(item[1] not in asked for item in gallery)
    others = "" if len(found) == len(query) else "; the others are left out of all scores"
    print(f"counted: {len(found)} of {len(query)} queries have a match in the gallery{others}")
    if distractors:
        print(
            f"distractors: {distractors} of {len(gallery)} gallery pictures are of people that no query shows"
        )


if __name__ == "__main__":
    sys.exit(main())
