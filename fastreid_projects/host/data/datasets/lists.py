"""Patches of the datasets that read list files: errors name file and line; blank lines are ignored."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from fastreid.data.datasets.AirportALERT import AirportALERT
from fastreid.data.datasets.msmt17 import MSMT17
from fastreid.data.datasets.vehicleid import VehicleID
from fastreid.data.datasets.veriwild import VeRiWild

from fastreid_projects.errors import DataError
from fastreid_projects.evaluation.draws import draw_gallery

T = TypeVar("T")
_LEAST_AIRPORT_PERSON = 11001  # AirportALERT.py:47 leaves out smaller numbers


def patch_lists() -> None:
    """Read lists line by line: veriwild.py:64 and others fail on a blank line, and name neither file nor line."""
    VehicleID.process_dir = read_vehicleid
    VeRiWild.process_dir = read_veriwild
    VeRiWild.process_vehicle = read_vehicle_info
    MSMT17.process_dir = read_msmt17
    AirportALERT.process_train = read_airport


def read_list(path: str, parse: Callable[[str], T], wanted: str, *, head: bool = False) -> list[T]:
    """Read a list file with one entry on each line.

    Args:
        path: the path of the file.
        parse: a function that turns a line, without surrounding spaces, into an entry.
        wanted: what a line has to be, for error messages.
        head: whether the first line holds the names of the columns.

    Raises:
        DataError: a line cannot be read; the message gives its number.
    """
    entries = []
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, line in enumerate(file, start=1):
            text = line.strip()
            if not text or (head and number == 1):
                continue
            try:
                entries.append(parse(text))
            except DataError as error:
                raise DataError(f"{path}, line {number}: {error}") from None
            except (ValueError, IndexError):
                raise DataError(
                    f"{path}, line {number}: '{text}' is not {wanted}: correct or remove the line."
                ) from None
    return entries


def _labels(self: Any, pid: int, camid: int, is_train: bool) -> tuple[Any, Any]:
    """Return identity and camera as in the host: texts in training, numbers in tests."""
    return (f"{self.dataset_name}_{pid}", f"{self.dataset_name}_{camid}") if is_train else (pid, camid)


def read_vehicleid(self: Any, list_file: str, is_train: bool = True) -> Any:
    """Read a list of VehicleID; test sets draw their gallery by ``split_seed``."""

    def parse(line: str) -> tuple[str, Any, Any]:
        image, vehicle = line.split()
        return os.path.join(self.image_dir, f"{image}.jpg"), *_labels(
            self, int(vehicle), int(image), is_train
        )

    items = read_list(list_file, parse, "an image and its vehicle, such as '0000001 7'")
    if is_train:
        return items
    query, gallery = draw_gallery(items, self.split_seed)
    return [items[i] for i in query], [items[i] for i in gallery]


def read_veriwild(self: Any, img_list: str, is_train: bool = True) -> list[tuple[str, Any, Any]]:
    """Read a list of VERI-Wild, whose cameras are in vehicle_info.txt."""

    def parse(line: str) -> tuple[str, Any, Any]:
        vehicle, file = line.split("/")
        image = file.split(".")[0]
        if image not in self.imgid2camid:
            raise DataError(
                f"the image {line} has no row in {self.vehicle_info}, which holds the cameras: remove the line, or use "
                "both files from the same release."
            )
        camera = int(self.imgid2camid[image])
        return self.imgid2imgpath[image], *_labels(self, int(vehicle), camera, is_train)

    return read_list(img_list, parse, "a vehicle and its image, such as '00001/000001.jpg'")


def read_vehicle_info(self: Any, vehicle_info: str) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Read vehicle, camera and path of each image of VERI-Wild; the first line is a header."""

    def parse(line: str) -> tuple[str, str, str]:
        name, camera, *_ = line.split(";")
        vehicle, image = name.split("/")
        return image, vehicle, str(int(camera))

    rows = read_list(vehicle_info, parse, "a row such as '00001/000001;38;...'", head=True)
    return (
        {image: vehicle for image, vehicle, _ in rows},
        {image: camera for image, _, camera in rows},
        {image: os.path.join(self.image_dir, vehicle, f"{image}.jpg") for image, vehicle, _ in rows},
    )


def read_msmt17(
    self: Any, dir_path: str, list_path: str, is_train: bool = True
) -> list[tuple[str, Any, Any]]:
    """Read a list of MSMT17; the camera is the third number of a file name."""

    def parse(line: str) -> tuple[str, Any, Any]:
        path, pid = line.rsplit(maxsplit=1)
        camera = int(path.split("_")[2]) - 1
        return os.path.join(dir_path, path), *_labels(self, int(pid), camera, is_train)

    return read_list(list_path, parse, "an image and its person, such as '0000/0000_000_01_0303_0001.jpg 0'")


def read_airport(self: Any, dir_path: str, train_file: str) -> list[list[str]]:
    """Read the list of Airport ALERT, whose paths consist of camera folder, person folder and file."""

    def parse(line: str) -> list[str]:
        camera, person, *file = line.replace("\\", "/").split("/")
        if not file:
            raise ValueError
        if int(person) < _LEAST_AIRPORT_PERSON:
            return []
        path = os.path.join(dir_path, camera, person, *file)
        return [path, f"{self.dataset_name}_{person}", f"{self.dataset_name}_{camera}"]

    return [
        item for item in read_list(train_file, parse, "a path such as 'cam1\\11001\\picture.jpg'") if item
    ]
