"""The synthetic demo set as datasets of the host, which only this module here needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset

from fastreid_projects.data.demo.build import ensure_drawn
from fastreid_projects.data.demo.counterfactual import Counterfactual, counterfactuals
from fastreid_projects.data.demo.masks import attribute_masks
from fastreid_projects.data.demo.plan import SPECS, SPLITS, DemoSpec
from fastreid_projects.errors import DataError

_NAME = re.compile(r"(-?\d+)_c(\d+)s\d+_\d+_\d+")
Item = tuple[str, Any, Any]


@DATASET_REGISTRY.register()
class DemoReID(ImageDataset):
    """The synthetic demo set, first domain, which is drawn on first use.

    As in the host's datasets, train labels are strings such as ``"demo_12"``, and so are cameras, ``"demo_0"``; query
    and gallery have integers, 0 for distractors. Junk (-1) is left out.
    """

    dataset_name = "demo"
    people: ClassVar[str] = (
        "DemoReID"  # the people that identities refer to: those of different datasets are not comparable
    )
    spec: ClassVar[DemoSpec] = SPECS["A"]
    attribute_masks = staticmethod(attribute_masks)

    def __init__(self, root: str = "datasets", **kwargs: Any) -> None:
        """Draw the images below ``root`` if they are missing, then list them.

        Raises:
            DataError: the images cannot be drawn, or a file in the folders has an unexpected name.
        """
        self.data_dir = ensure_drawn(self.spec, root)
        self.junk = 0  # test images of identity -1, which are left out
        self.train_dir, self.query_dir, self.gallery_dir = (str(self.data_dir / split) for split in SPLITS)
        train, query, gallery = (
            self.list_images(self.data_dir / split, split == SPLITS[0]) for split in SPLITS
        )
        super().__init__(train, query, gallery, **kwargs)

    @classmethod
    def counterfactuals(cls, paths: Sequence[str], number: int) -> Iterator[Counterfactual]:
        """Yield images of this dataset with one attribute changed; see :func:`.counterfactual.counterfactuals`."""
        return counterfactuals(cls.spec, paths, number)

    def list_images(self, folder: Path, is_train: bool) -> list[Item]:
        """Return (path, identity, camera) of every image in a folder, sorted by name, without junk."""
        items: list[Item] = []
        for path in sorted(folder.glob("*.jpg")):
            match = _NAME.fullmatch(path.stem)
            if match is None:
                raise DataError(
                    f"the image {path} is not named like 0002_c1s1_000451_00.jpg: rename or remove it"
                )
            pid, camera = int(match[1]), int(match[2]) - 1
            if pid < 0:
                self.junk += not is_train
                continue
            labels = (
                (f"{self.dataset_name}_{pid}", f"{self.dataset_name}_{camera}") if is_train else (pid, camera)
            )
            items.append((str(path), *labels))
        return items


@DATASET_REGISTRY.register()
class DemoReIDB(DemoReID):
    """The synthetic demo set, second domain: other cameras, another style, and attributes as frequent as in winter."""

    dataset_name = "demob"
    people: ClassVar[str] = "DemoReIDB"
    spec: ClassVar[DemoSpec] = SPECS["B"]


@DATASET_REGISTRY.register()
class DemoReIDMisaligned(DemoReID):
    """The people and shots of the first domain, with boxes that are misaligned twice as much."""

    dataset_name = "demom"
    spec: ClassVar[DemoSpec] = SPECS["M"]


@DATASET_REGISTRY.register()
class DemoReIDOthers(DemoReID):
    """1,000 other persons of the first domain for pretraining; none of them is in another set."""

    dataset_name = "demop"
    people: ClassVar[str] = "DemoReIDOthers"
    spec: ClassVar[DemoSpec] = SPECS["P"]
