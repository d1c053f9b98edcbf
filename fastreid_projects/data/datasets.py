"""The registered datasets: find their folders, build them, and check that they can be evaluated."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fastreid_projects.contract import NamesPeople, SharesPeople, TrainsOnly
from fastreid_projects.data.identities import keep_identities
from fastreid_projects.errors import DataError
from fastreid_projects.evaluation.draws import draws_gallery
from fastreid_projects.evaluation.ranking import why_no_match

ROOT_VARIABLE = "FASTREID_DATASETS"


def not_found(path: str, *others: str) -> DataError:
    """Return the error for a missing file or folder of a dataset, which says what the folder holds instead.

    Args:
        path: the missing file or folder.
        others: alternatives that would also do, below the same folder.
    """
    wanted = " nor ".join([path, *map(os.path.basename, others)])
    wanted = f"neither {wanted}" if others else wanted
    missing, parent = path, os.path.dirname(path)
    while parent and not os.path.isdir(parent):
        missing, parent = parent, os.path.dirname(parent)
    if missing != path:
        there = f"there is no folder {missing}"
    else:
        there = f"{parent or os.getcwd()} holds {_names(parent or '.', os.path.basename(path))}"
    return DataError(
        f"{wanted} is not found: {there}; set the environment variable {ROOT_VARIABLE} to the folder that holds the "
        "datasets, or rename what it holds."
    )


def _names(folder: str, wanted: str, most: int = 5) -> str:
    """Name some of the files and folders in a folder, the ones most similar to ``wanted`` first."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    alike = difflib.get_close_matches(wanted.lower(), [name.lower() for name in names], most, 0.5)
    names.sort(key=lambda name: (name.lower() not in alike, name))
    return (", ".join(names[:most]) or "nothing") + (", ..." if len(names) > most else "")


def dataset_root() -> str:
    """Return the folder of all datasets; the host reads the variable once, at import (data/build.py:27)."""
    from fastreid.data import build  # here, since the host's patches import this module

    return os.path.expanduser(os.environ.get(ROOT_VARIABLE) or str(build._root))


def _registered(name: str) -> Any:
    from fastreid.data.datasets import DATASET_REGISTRY

    return DATASET_REGISTRY.get(name)


def build_dataset(name: str, **kwargs: Any) -> Any:
    """Build a registered dataset below `dataset_root`.

    Raises:
        ConfigError: no dataset of this name is registered.
        DataError: its files are missing.
    """
    factory = _registered(name)
    root = dataset_root()
    try:
        return factory(root=root, **kwargs)
    except FileNotFoundError as error:
        raise not_found(str(error.filename or root)) from error
    except AssertionError as error:
        reason = f" ({error})" if str(error) else ""
        raise DataError(
            f"Dataset {name} cannot be read from {root}{reason}: look into its folder."
        ) from error


def open_dataset(cfg: Any, name: str, **kwargs: Any) -> Any:
    """Build a dataset as the config asks, with DATASETS.SPLIT_SEED if the dataset draws its gallery at random.

    Raises:
        ConfigError, DataError: see :func:`build_dataset`.
    """
    if draws_gallery(_registered(name)):
        kwargs.setdefault("split_seed", cfg.DATASETS.SPLIT_SEED)
    return build_dataset(name, **kwargs)


def subset(data: Any, name: str, part: str) -> list[Any]:
    """Return ``data.train``, ``.query`` or ``.gallery``, which must not be empty."""
    items = list(getattr(data, part))
    if not items:
        if part != "train" and isinstance(data, TrainsOnly):
            raise DataError(
                f"Dataset {name} has no {part} images: in FastReID it is for training only; name another dataset in "
                "DATASETS.TESTS."
            )
        known = vars(data)
        folder = known.get(f"{part}_dir") or known.get("dataset_dir") or dataset_root()
        raise DataError(
            f"Dataset {name} has no {part} images: {folder} names or holds none{_suffixes(folder)}; add some, or name "
            "another dataset."
        )
    return items


def _suffixes(folder: str) -> str:
    """Describe the files in a folder by their suffixes; "" if there are none."""
    if not os.path.isdir(folder):
        return ""
    with os.scandir(folder) as files:
        counts = Counter(os.path.splitext(file.name)[1] or "no suffix" for file in files if file.is_file())
    found = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(3))
    return f" that the dataset reads (it has {found})" if found else ""


def matched_queries(items: Sequence[Any], num_query: int, *, same_camera: bool = False) -> list[Any]:
    """Return the queries that have a match in the gallery: of their identity, by another camera.

    Args:
        items: (path, identity, camera, ...) of the queries, then of the gallery.
        num_query: number of queries.
        same_camera: whether matches by the query's own camera count (TEST.SAME_CAMERA); the query itself never does.
    """
    taken_by = 0 if same_camera else 2
    seen: dict[Any, set[Any]] = {}
    for item in items[num_query:]:
        seen.setdefault(item[1], set()).add(item[taken_by])
    return [item for item in items[:num_query] if seen.get(item[1], set()) - {item[taken_by]}]


def check_matches(name: str, items: Sequence[Any], num_query: int, *, same_camera: bool = False) -> None:
    """Check before features are computed that the gallery is not empty and some query has a match.

    Args:
        name: name of the dataset.
        items: see :func:`matched_queries`.
        num_query: number of queries.
        same_camera: see :func:`matched_queries`.

    Raises:
        DataError: there is no gallery, or no query has a match.
    """
    if matched_queries(items, num_query, same_camera=same_camera):
        return
    queries, gallery = items[:num_query], items[num_query:]
    if not gallery:
        raise DataError(f"Dataset {name} has no gallery images to rank: add some, or name another dataset.")
    identities = {item[1] for item in gallery}
    found = any(item[1] in identities for item in queries)
    if found and same_camera:
        reason = "The only gallery picture of each query's identity is the query itself: add other pictures."
    else:
        reason = why_no_match(
            [i[1] for i in queries], [i[1] for i in gallery], [i[2] for i in gallery], found
        )
    example = next((f" The first query is {item[0]}." for item in queries), "")
    raise DataError(f"Dataset {name} cannot be evaluated. {reason}{example}")


def trained_tests(cfg: Any) -> list[str]:
    """Return the test sets whose people are trained on, as DATASETS.COMBINEALL adds query and gallery to training."""
    if not cfg.DATASETS.COMBINEALL:
        return []
    trained = {people_of(name) for name in cfg.DATASETS.NAMES}
    return [name for name in cfg.DATASETS.TESTS if people_of(name) in trained]


def people_of(name: str) -> str:
    """Return a name for the people of a dataset; Market1501 and its variants share one."""
    dataset = _registered(name)
    if isinstance(dataset, SharesPeople):
        return people_of(dataset.people) if dataset.people != name else name
    return dataset.dataset_name if isinstance(dataset, NamesPeople) else name


def training_items(cfg: Any, data: Any, name: str) -> list[Any]:
    """Return the training images of a built dataset whose identities DATASETS.ID_FRACTION keeps."""
    return keep_identities(
        subset(data, name, "train"), cfg.DATASETS.ID_FRACTION, cfg.DATASETS.ID_FRACTION_SEED
    )
