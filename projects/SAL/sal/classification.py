"""CIFAR-100 and its drawn replacement as datasets of the host (sec. 4.5).

An item is (picture, class, 0); a picture is a name with pixels, which the dataset class keeps. The host's test loader
needs queries and a gallery: these are the two halves of the test images, and the error is computed over both.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fastreid.data.build import CommDataset
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import CIFAR100 as TorchvisionCIFAR100

from fastreid_projects.contract import Source
from fastreid_projects.data.byte_transforms import as_bytes
from fastreid_projects.errors import DataError

from .shapes import draw_shapes

Pixels = NDArray[np.uint8]
Item = tuple["Picture", int, int]


class Picture(str):
    """The name of a picture for logs, such as ``cifar100/test/17``, with its pixels (H, W, 3)."""

    pixels: Pixels

    def __new__(cls, name: str, pixels: Pixels) -> Picture:
        """Keep the pixels with the name; they are a view of the whole set."""
        picture = super().__new__(cls, name)
        picture.pixels = pixels
        return picture


class ClassImages(ImageDataset):
    """Images with classes in the host's format: training images, and test images as query and gallery."""

    def __init__(self, name: str, train: tuple[Pixels, Any], test: tuple[Pixels, Any], **kwargs: Any) -> None:
        tests = items(f"{name}/test", *test)
        half = len(tests) // 2
        super().__init__(items(f"{name}/train", *train), tests[:half], tests[half:], **kwargs)


def items(name: str, pixels: Pixels, classes: Any) -> list[Item]:
    """Turn pixels (N, H, W, 3) with classes (N,) into the host's items."""
    numbered = enumerate(zip(pixels, classes, strict=True))
    return [(Picture(f"{name}/{i}", image), int(label), 0) for i, (image, label) in numbered]


@DATASET_REGISTRY.register()
class CIFAR100(ClassImages):
    """CIFAR-100 (Krizhevsky 2009) from ``<root>/cifar-100-python``, read by torchvision; nothing is downloaded."""

    def __init__(self, root: str = "datasets", **kwargs: Any) -> None:
        """Read both splits.

        Raises:
            DataError: the folder is missing or not as published.
        """
        try:
            train, test = (
                TorchvisionCIFAR100(root, train=is_train, download=False) for is_train in (True, False)
            )
        except RuntimeError as error:
            folder = os.path.join(root, TorchvisionCIFAR100.base_folder)
            raise DataError(
                f"CIFAR-100's python version is not found in {folder}; unpack cifar-100-python.tar.gz, or "
                "train on the drawn replacement with DATASETS.NAMES \"('DrawnCIFAR100',)\" and DATASETS.TESTS alike"
            ) from error
        super().__init__("cifar100", (train.data, train.targets), (test.data, test.targets), **kwargs)


@DATASET_REGISTRY.register()
class DrawnCIFAR100(ClassImages):
    """A drawn replacement for CIFAR-100: 100 classes (10 shapes in 10 fillings), 32x32, 20 + 10 images of each."""

    def __init__(self, root: str = "datasets", **kwargs: Any) -> None:
        """Draw both splits in memory; ``root`` is not used."""
        super().__init__("drawn", draw_shapes(20, seed=0), draw_shapes(10, seed=1), **kwargs)


def with_classes(sources: Sequence[Source], transform: Any) -> ClassDataset:
    """Return the pictures of the sources as a dataset for the host's loaders."""
    return ClassDataset([item for source in sources for item in source.items], as_bytes(transform))


class ClassDataset(CommDataset):
    """The host's dataset for pictures that are not files; classes are never renumbered.

    Args:
        img_items: items from :class:`ClassImages`.
        transform: the host's transform list.
    """

    def __init__(self, img_items: Sequence[Any], transform: Any = None) -> None:
        super().__init__(img_items, transform, relabel=False)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the host's item: images (3, H, W) of 0..255, targets, camids, img_paths."""
        picture, label, camera = self.img_items[index]
        image: Any = Image.fromarray(picture.pixels)
        if self.transform is not None:
            image = self.transform(image)
        return {"images": image, "targets": label, "camids": camera, "img_paths": str(picture)}

    @property
    def num_classes(self) -> int:
        """The largest class plus one."""
        return int(torch.tensor(self.pids).max()) + 1
