"""Own pictures as a dataset: ``DATASETS.NAMES "('FolderReID',)"`` reads ``FASTREID_DATASETS/FolderReID``.

``'FolderReID:shop'`` reads ``FASTREID_DATASETS/shop``, and a path such as ``'/data/shop'`` or ``'./shop'`` that folder;
a config can name any number of them. The folder holds either a table ``labels.csv`` with the columns ``path, pid,
camid, split`` (other columns are ignored, or become attributes with an ``attributes.yaml``), or three folders
``train``, ``query`` and ``gallery`` with a folder of pictures for each person::

    train/anna/c1_0001.jpg      # the folder names the person, c1, cam1 or camera_1 in the file's name the camera
    query/anna/cam1/0002.jpg    # or in a folder's name; or there are no cameras at all
    gallery/anna/cam2/0001.jpg

Pictures of the person -1 are junk, and those of 0000 are distractors, as in Market-1501. A folder without ``train`` is
for tests only. ``python -m fastreid_projects.data.folder FOLDER`` reads all of it, including the pictures, and reports
what is wrong.
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
    import fastreid_projects.required  # noqa: F401  (without FastReID, this raises an error of one sentence)

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
    """Read a folder by its table or by its subfolders, without opening the pictures.

    Raises:
        DataError: there is neither a table nor a subfolder, or a row or a name cannot be used.
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
            f"{folder} holds neither {TABLE} nor one of the folders {', '.join(SPLITS)}, but {found}: add one of them"
        )
    pictures = without_junk(pictures)
    check_spelling(pictures.entries)
    return pictures


@DATASET_REGISTRY.register()
class FolderReID(ImageDataset):
    """Own pictures; see the module.

    Args:
        root: the folder that holds ``folder``.
        **kwargs: passed to the host's class.

    Attributes:
        folder: the folder's name, or its path.
        junk: number of test pictures left out as junk.

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
        """Return the attributes in the folder's ``attributes.yaml`` without reading the folder; None if it has none.

        Raises:
            DataError: the file cannot be used.
        """
        return folder_words(Path(root, os.path.expanduser(cls.folder)))

    def attribute_labels(self, items: Sequence[Any]) -> tuple[OwnAttributes, Labels] | None:
        """Return the attributes and their values in pictures, int8 (len(items), M); None without ``attributes.yaml``.

        Args:
            items: (path, identity, camera) of train, query or gallery.

        Raises:
            DataError: the words or tables cannot be used; the message names file and line.
        """
        if self._labelled is None:
            return None
        words, by_path = self._labelled
        rows = [by_path[item[0]] for item in items]
        return words, np.stack(rows) if rows else np.empty((0, len(words)), np.int8)

    @functools.cached_property
    def _labelled(self) -> tuple[OwnAttributes, dict[str, Labels]] | None:
        """The attributes of all pictures by path, read on first use."""
        folder = Path(self.dataset_dir)
        words = folder_words(folder)
        if words is None:
            return None
        labels = label_entries(folder, self._entries, words)
        return words, {entry.path: row for entry, row in zip(self._entries, labels, strict=True)}

    def show_train(self) -> None:
        """Log the table of the training pictures and, once, the remarks on the folder."""
        super().show_train()
        _remark(self.dataset_dir, tuple(self.remarks))

    def show_test(self) -> None:
        """Log the table of the test pictures and, once, the remarks on the folder."""
        super().show_test()
        _remark(self.dataset_dir, tuple(self.remarks))


@functools.cache
def _remark(folder: str, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        logger.warning("%s: %s", folder, sentence)


@functools.cache
def own_dataset(name: str) -> type[FolderReID] | None:
    """Return the dataset class for ``FolderReID:folder`` or a path; None for other names."""
    folder = own_folder(name)
    if folder is None:
        return None
    return type(
        name, (FolderReID,), {"folder": folder, "dataset_name": folder, "__doc__": FolderReID.__doc__}
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Check a folder: every row, every picture, and that its tests can be evaluated."""
    from fastreid_projects.command_line.one_sentence import one_sentence

    parser = argparse.ArgumentParser(description="Check own pictures for DATASETS.NAMES \"('FolderReID',)\"")
    parser.add_argument(
        "folder",
        help="folder with labels.csv, or with train, query and gallery; or an attributes.yaml for another dataset",
    )
    parser.add_argument(
        "--same-camera", action="store_true", help="check for tests with TEST.SAME_CAMERA True"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    return one_sentence(lambda: check(Path(args.folder), args.same_camera), debug=args.debug)


def check(folder: Path, same_camera: bool = False) -> None:
    """Read a whole folder and print what it holds, what is left out, its attributes, and how many queries count.

    Args:
        folder: folder with the table or the subfolders, or the table itself, also looked for below FASTREID_DATASETS;
            or an ``attributes.yaml`` for the identities of another dataset.
        same_camera: whether tests use TEST.SAME_CAMERA.

    Raises:
        DataError: the first problem found, with its row or file.
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
    """Print how many queries count in tests.

    Raises:
        DataError: a split is missing that another one needs, or no query has a match.
    """
    if not query and not gallery:
        if not trained:
            raise DataError(f"{folder} has no pictures of the splits {', '.join(SPLITS)}")
        print("no query and no gallery: only for DATASETS.NAMES")
        return
    for split, items in (("query", query), ("gallery", gallery)):
        if not items:
            raise DataError(f"{folder} has no pictures of the split {split}: tests need query and gallery")
    if not trained:
        print("no pictures of the split train: only for DATASETS.TESTS")
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
