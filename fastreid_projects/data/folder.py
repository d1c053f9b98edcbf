"""Own pictures as a dataset: ``DATASETS.NAMES "('FolderReID',)"`` reads ``FASTREID_DATASETS/FolderReID``.

There lies either a table ``labels.csv`` with the columns ``path, pid, camid, split`` (others are left alone), or three
folders ``train``, ``query`` and ``gallery`` with a folder of pictures for each person::

    train/anna/c1_0001.jpg      # the person is the folder's name, the camera the number behind c; or no camera at all
    query/anna/c1_0002.jpg
    gallery/anna/c2_0001.jpg

``python -m fastreid_projects.data.folder FOLDER`` reads all of it, pictures included, and names what is wrong.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    import fastreid_projects.required  # noqa: F401  (without a host: one sentence)

from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset

from fastreid_projects.data.images import read_image
from fastreid_projects.errors import DataError

logger = logging.getLogger("fastreid.projects.data")

NAME = "FolderReID"
TABLE = "labels.csv"
COLUMNS = ("path", "pid", "camid", "split")
SPLITS = ("train", "query", "gallery")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_NO_CAMERA = "0"
_MOST_DIGITS = 9  # of a camera or a person that is a number
_CAMERA = re.compile(r"(?:^|[^a-zA-Z])c(\d+)")


class Entry(NamedTuple):
    """One picture.

    Attributes:
        path: of the file.
        pid: the person, any text.
        camid: the camera, any text.
        split: one of ``SPLITS``.
        where: the row or file, for errors.
    """

    path: str
    pid: str
    camid: str
    split: str
    where: str


def read_entries(folder: Path) -> list[Entry]:
    """All pictures of a folder, by its table or by its folders.

    Raises:
        DataError: neither is there, or a row or a name that cannot be used.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not found: let FASTREID_DATASETS name the folder that holds {NAME}")
    table = folder / TABLE
    if table.is_file():
        return list(_read_table(table))
    if not any((folder / split).is_dir() for split in SPLITS):
        raise DataError(
            f"{folder} holds neither {TABLE} nor the folders {', '.join(SPLITS)}: make one of both"
        )
    return list(_read_folders(folder))


def _read_table(table: Path) -> Iterator[Entry]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{table} has no column '{missing[0]}': its first line has to name {', '.join(COLUMNS)}, "
                    "separated by commas"
                )
            seen: dict[str, int] = {}
            for row in rows:
                yield _entry(table, rows.line_num, row, seen)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read as a table in UTF-8: {error}") from error


def _entry(table: Path, line: int, row: dict[str, Any], seen: dict[str, int]) -> Entry:
    where = f"{table}, line {line}"
    values = {name: (row[name] or "").strip() for name in COLUMNS}
    for name, value in values.items():
        if not value:
            raise DataError(f"{where}: the column {name} is empty; fill it or remove the row")
    if values["split"] not in SPLITS:
        raise DataError(f"{where}: the split '{values['split']}' is none of {', '.join(SPLITS)}")
    path = str(table.parent / os.path.expanduser(values["path"]))
    if not os.path.isfile(path):
        raise DataError(f"{where}: the picture {path} does not exist; correct the path or remove the row")
    if path in seen:
        raise DataError(
            f"{where}: the picture {path} stands in line {seen[path]} already; remove one of both"
        )
    seen[path] = line
    return Entry(path, values["pid"], values["camid"], values["split"], where)


def _read_folders(folder: Path) -> Iterator[Entry]:
    paths = [path for split in SPLITS for path in sorted((folder / split).glob("*/*"))]
    paths = [path for path in paths if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    cameras = [_CAMERA.search(path.stem) for path in paths]
    for path, camera in zip(paths, cameras, strict=True):
        if camera is None and any(cameras):
            raise DataError(
                f"{path} does not say its camera, as others do: write c1, c2, ... into its name, or use {TABLE}"
            )
        known = camera[1] if camera else _NO_CAMERA
        if len(known) > _MOST_DIGITS:
            raise DataError(
                f"{path} says camera {known}, a number of more than {_MOST_DIGITS} digits: put another letter than c "
                f"before what is no camera, or use {TABLE}"
            )
        yield Entry(str(path), path.parent.name, known, path.parent.parent.name, str(path))


def numbered(entries: Sequence[Entry]) -> dict[str, list[tuple[str, Any, Any]]]:
    """Items (path, identity, camera) by split, of what a host's dataset wants: texts in training, numbers in tests."""
    people = _numbers(entry.pid for entry in entries)
    cameras = _numbers(entry.camid for entry in entries)
    items: dict[str, list[tuple[str, Any, Any]]] = {split: [] for split in SPLITS}
    for entry in entries:
        pid, camid = people[entry.pid], cameras[entry.camid]
        training = entry.split == "train"
        items[entry.split].append(
            (entry.path, f"{NAME}_{pid}", f"{NAME}_{camid}") if training else (entry.path, pid, camid)
        )
    return items


def people_twice(entries: Sequence[Entry]) -> str:
    """A warning where people of the training are in query or gallery too; "" where there are none."""
    trained = {entry.pid for entry in entries if entry.split == "train"}
    twice = sorted(trained & {entry.pid for entry in entries if entry.split != "train"})
    if not twice:
        return ""
    names = ", ".join(twice[:3]) + (", ..." if len(twice) > 3 else "")
    return (
        f"{len(twice)} people of the split train are in query or gallery, too ({names}): a model knows them, and its "
        "scores are too good; give each person to one side"
    )


def _numbers(texts: Iterable[str]) -> dict[str, int]:
    """Each text's number: its own where all are numbers that fit, else its place in the order."""
    names = sorted(set(texts))
    if all(name.isdecimal() and len(name) <= _MOST_DIGITS for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(names)}


@DATASET_REGISTRY.register()
class FolderReID(ImageDataset):
    """Own pictures; see the module.

    Args:
        root: the folder that holds ``FolderReID/``.
        **kwargs: the host's.

    Raises:
        DataError: see :func:`read_entries`.
    """

    dataset_name = "folder"

    def __init__(self, root: str = "datasets", **kwargs: Any) -> None:
        self.dataset_dir = os.path.join(root, NAME)
        entries = read_entries(Path(self.dataset_dir))
        items = numbered(entries)
        self.warning = people_twice(entries)
        super().__init__(items["train"], items["query"], items["gallery"], **kwargs)

    def show_train(self) -> None:
        """Log the table of the training pictures, and a warning where the tests show the same people."""
        super().show_train()
        if self.warning:
            logger.warning(self.warning)


def main(argv: Sequence[str] | None = None) -> int:
    """Check a folder: every row, every picture, and that there is something to rank."""
    from fastreid_projects.command_line.one_sentence import one_sentence

    parser = argparse.ArgumentParser(description="Check own pictures for DATASETS.NAMES \"('FolderReID',)\"")
    parser.add_argument("folder", help="with labels.csv, or with the folders train, query and gallery")
    parser.add_argument("--same-camera", action="store_true", help="tests are with TEST.SAME_CAMERA True")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    return one_sentence(lambda: check(Path(args.folder), args.same_camera), debug=args.debug)


def check(folder: Path, same_camera: bool = False) -> None:
    """Read all of a folder and print what it holds.

    Args:
        folder: with the table or the folders.
        same_camera: the tests are with TEST.SAME_CAMERA.

    Raises:
        DataError: the first thing that is wrong, with its row or file.
    """
    from fastreid_projects.data.datasets import check_matches

    entries = read_entries(folder)
    for entry in entries:
        try:
            read_image(entry.path)
        except DataError as error:
            raise DataError(f"{entry.where}: {error}") from error
    items = numbered(entries)
    for split in SPLITS:
        if not items[split]:
            raise DataError(
                f"{folder} has no pictures of the split {split}: training and tests need all three"
            )
    tests = [*items["query"], *items["gallery"]]
    check_matches(str(folder), tests, len(items["query"]), same_camera=same_camera)
    for split in SPLITS:
        people, cameras = ({item[i] for item in items[split]} for i in (1, 2))
        print(f"{split}: {len(items[split])} pictures of {len(people)} people by {len(cameras)} cameras")
    warning = people_twice(entries)
    if warning:
        print(f"warning: {warning}")


if __name__ == "__main__":
    sys.exit(main())
