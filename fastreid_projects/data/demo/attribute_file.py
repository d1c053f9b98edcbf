"""Write ``market_attribute.mat`` like the published one: two structs whose fields are in different orders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastreid_projects.data.attributes import DEMO
from fastreid_projects.data.demo.person import LOWER, UPPER, Person
from fastreid_projects.data.demo.plan import DemoPlan

_HEAD = ("age", "backpack", "bag", "handbag")
_TAIL = ("clothes", "down", "up", "hair", "hat", "gender")
_ORDERS = {
    "train": (*_HEAD, *sorted(LOWER), *sorted(UPPER), *_TAIL),
    "test": (*_HEAD, *_TAIL, *UPPER, *LOWER),
}


def write_attribute_file(plan: DemoPlan, path: Path) -> None:
    """Write the rows of all train and test identities, coded 1/2, ``age`` 1..4."""
    from scipy.io import savemat

    content = {
        split: _struct(people, _ORDERS[split])
        for split, people in (("test", plan.test), ("train", plan.train))
    }
    savemat(str(path), {DEMO.struct: content}, do_compression=True)
    _fix_date(path)


def _struct(people: dict[int, Person], order: tuple[str, ...]) -> dict[str, Any]:
    struct: dict[str, Any] = {name: _column(people, name)[None] for name in order}
    index = np.empty((1, len(people)), object)
    index[0] = [f"{pid:04d}" for pid in people]
    struct["image_index"] = index
    return struct


def _column(people: dict[int, Person], name: str) -> np.ndarray:
    if name == "age":
        return np.array([4 if p.details.hair_tone == 4 else 2 for p in people.values()], np.uint8)
    return np.array([p.attributes[DEMO.index(name)] + 1 for p in people.values()], np.uint8)


def _fix_date(path: Path) -> None:
    """Replace the header's text, which contains the time, so that equal content gives equal bytes."""
    text = b"MATLAB 5.0 MAT-file, drawn demo attributes"
    with path.open("r+b") as stream:
        stream.write(text.ljust(116))
