"""The registered datasets: where they lie, how they are built, and that there is something to rank."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from fastreid.data import build as host_build
from fastreid.data.datasets import (
    DATASET_REGISTRY,
)

from fastreid_projects.data.identities import keep_identities
from fastreid_projects.errors import DataError
from fastreid_projects.evaluation.ranking import why_no_match

ROOT_VARIABLE = "FASTREID_DATASETS"


def not_found(path: str) -> DataError:
    """The error of a dataset's file or folder that is missing."""
    return DataError(
        f"{path} is not found: let the environment variable {ROOT_VARIABLE} name the folder that holds the "
        "datasets."
    )


def dataset_root() -> str:
    """Return the folder of all datasets; the host reads the variable once, at import (data/build.py:27)."""
    return os.path.expanduser(os.environ.get(ROOT_VARIABLE) or str(host_build._root))


def build_dataset(name: str, **kwargs: Any) -> Any:
    """Build a registered dataset below `dataset_root`.

    Raises:
        ConfigError: no dataset of this name is registered.
        DataError: its files are not there.
    """
    factory = DATASET_REGISTRY.get(name)
    root = dataset_root()
    try:
        return factory(root=root, **kwargs)
    except (AssertionError, FileNotFoundError) as error:
        # msmt17.py:62 and wildtracker.py:52 do not say which folder they miss.
        missing = getattr(error, "filename", None) or root
        raise DataError(
            f"Dataset {name} is not found in {missing}: let the environment variable {ROOT_VARIABLE} name "
            "the folder that holds it."
        ) from error


def subset(data: Any, name: str, part: str) -> list[Any]:
    """Return ``data.train``, ``.query`` or ``.gallery``, which must hold images."""
    items = list(getattr(data, part))
    if not items:
        folder = getattr(data, f"{part}_dir", None) or getattr(data, "dataset_dir", "") or dataset_root()
        raise DataError(
            f"Dataset {name} has no {part} images: {folder} names or holds none; add some, or name another dataset."
        )
    return items


def check_matches(name: str, items: Sequence[Any], num_query: int, *, same_camera: bool = False) -> None:
    """See before the features are computed that there is something to rank.

    Args:
        name: of the dataset.
        items: (path, identity, camera, ...) of the queries, then of the gallery.
        num_query: how many are queries.
        same_camera: a match by the query's own camera counts, too (TEST.SAME_CAMERA).

    Raises:
        DataError: there is no gallery, or no query has a match.
    """
    queries, gallery = items[:num_query], items[num_query:]
    if not gallery:
        raise DataError(f"Dataset {name} has no gallery images to rank: add some, or name another dataset.")
    cameras: dict[Any, set[Any]] = {}
    for item in gallery:
        cameras.setdefault(item[1], set()).add(item[2])
    if not any(cameras.get(item[1], set()) - (set() if same_camera else {item[2]}) for item in queries):
        found = [item[1] for item in queries if item[1] in cameras]
        reason = why_no_match(
            [i[1] for i in queries], [i[1] for i in gallery], [i[2] for i in gallery], bool(found)
        )
        example = next((f" The first query is {item[0]}." for item in queries), "")
        raise DataError(f"Dataset {name} cannot be evaluated. {reason}{example}")


def training_items(cfg: Any, data: Any, name: str) -> list[Any]:
    """The training images of a built dataset, of the share of its identities that DATASETS.ID_FRACTION leaves."""
    return keep_identities(
        subset(data, name, "train"), cfg.DATASETS.ID_FRACTION, cfg.DATASETS.ID_FRACTION_SEED
    )
