"""Person attributes: their names, the meaning of their values, and the reader of the published .mat files.

| letter | meaning                              |
| ------ | ------------------------------------ |
| M      | number of attributes of a set        |

The files of Lin et al. 2019 (Market-1501_Attribute, DukeMTMC-attribute) hold one row per identity, coded 1/2,
in two structs, ``train`` and ``test``, whose fields are in different orders. Inside this project, an attribute is 0
(raw 1), 1 (raw 2) or -1 (unknown), always in the order of its :class:`AttributeSet`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastreid_projects.errors import DataError

UNKNOWN = -1


@dataclass(frozen=True)
class Attribute:
    """One binary attribute.

    Attributes:
        name: the field's name in the .mat file, e.g. ``"up"``.
        topic: words for the attribute, e.g. ``"sleeves"``.
        values: words for 0 (raw 1) and for 1 (raw 2), e.g. ``("long sleeves", "short sleeves")``.
        is_thing: whether 1 means that something is present and 0 that it is absent (a backpack, a colour).
        group: the group of the attribute, e.g. ``"clothes"``; "" without a group.
    """

    name: str
    topic: str
    values: tuple[str, str]
    is_thing: bool
    group: str = ""

    @property
    def differ(self) -> str:
        """The verb after the topic: sleeves differ, a hat differs."""
        return "differ" if self.topic.endswith("s") and not self.topic.endswith("ss") else "differs"

    def describe_pair(self, query: int = UNKNOWN, gallery: int = UNKNOWN, *, alike: bool = False) -> str:
        """Say in words how two persons compare on this attribute.

        Args:
            query: 0, 1 or -1 (unknown).
            gallery: likewise.
            alike: whether the model sees no difference; used if a value is unknown.
        """
        if UNKNOWN in (query, gallery):
            if alike:
                return f"{self.topic} alike"
            return f"{self.topic} {self.differ}"
        if not self.is_thing and query == gallery:
            return f"{self.topic}: both {self.values[query]}"
        if self.is_thing:
            pronoun = "one" if self.topic in _COUNTABLE else "it"
            if query == gallery:
                return (
                    f"{self.topic}: both have {pronoun}" if query else f"{self.topic}: neither has {pronoun}"
                )
            return f"{self.topic}: only the {'query' if query else 'gallery'} has {pronoun}"
        return f"{self.topic}: query {self.values[query]}, gallery {self.values[gallery]}"


_COUNTABLE = ("hat", "backpack", "shoulder bag", "handbag")


def _thing(name: str, topic: str) -> Attribute:
    return Attribute(name, topic, (f"no {topic}", topic), is_thing=True)


def _colours(prefix: str, part: str, colours: Iterable[str]) -> tuple[Attribute, ...]:
    return tuple(_thing(f"{prefix}{colour}", f"{colour} {part} clothing") for colour in colours)


@dataclass(frozen=True)
class AttributeSet:
    """The M attributes of a dataset, in a fixed order.

    Attributes:
        name: ``"market1501"``, ``"dukemtmc"``, ``"demo"``, or the path of an ``attributes.yaml``.
        struct: name of the variable in the .mat file; "" without one.
        file_name: the usual name of the file with their values.
        attributes: the M attributes.
    """

    name: str
    struct: str
    file_name: str
    attributes: tuple[Attribute, ...]

    def __len__(self) -> int:
        return len(self.attributes)

    @property
    def names(self) -> tuple[str, ...]:
        """Field names, in order."""
        return tuple(attribute.name for attribute in self.attributes)

    def index(self, name: str) -> int:
        """Return the position of the attribute called ``name``."""
        return self.names.index(name)


_COMMON_THINGS = (_thing("hat", "hat"), _thing("backpack", "backpack"))
_BAGS = (_thing("bag", "shoulder bag"), _thing("handbag", "handbag"))
_GENDER = Attribute("gender", "gender", ("male", "female"), is_thing=False)

_MARKET = (
    _GENDER,
    Attribute("hair", "hair", ("short hair", "long hair"), is_thing=False),
    Attribute("up", "sleeves", ("long sleeves", "short sleeves"), is_thing=False),
    Attribute("down", "lower length", ("long lower clothing", "short lower clothing"), is_thing=False),
    Attribute("clothes", "lower type", ("dress", "trousers"), is_thing=False),
    *_COMMON_THINGS,
    *_BAGS,
    *_colours("up", "upper", ("black", "white", "red", "purple", "yellow", "gray", "blue", "green")),
    *_colours(
        "down",
        "lower",
        ("black", "white", "pink", "purple", "yellow", "gray", "blue", "green", "brown"),
    ),
)

_DUKE = (
    _GENDER,
    Attribute("top", "upper length", ("short upper clothing", "long upper clothing"), is_thing=False),
    Attribute("shoes", "shoe shade", ("dark shoes", "light shoes"), is_thing=False),
    _thing("boots", "boots"),
    *_COMMON_THINGS,
    *_BAGS,
    *_colours("up", "upper", ("black", "white", "red", "purple", "gray", "blue", "green", "brown")),
    *_colours("down", "lower", ("black", "white", "red", "gray", "blue", "green", "brown")),
)

MARKET1501 = AttributeSet("market1501", "market_attribute", "market_attribute.mat", _MARKET)
DUKEMTMC = AttributeSet("dukemtmc", "duke_attribute", "duke_attribute.mat", _DUKE)
DEMO = AttributeSet("demo", "market_attribute", "market_attribute.mat", _MARKET)

ATTRIBUTE_SETS: dict[str, AttributeSet] = {s.name: s for s in (MARKET1501, DUKEMTMC, DEMO)}


def in_order_of(rows: np.ndarray, own: AttributeSet, wanted: AttributeSet) -> np.ndarray:
    """Convert labels of one attribute set to labels of another, by the names of the attributes.

    Args:
        rows: int8 (N, own attributes) of 0, 1 or -1.
        own: the attributes of the columns of ``rows``.
        wanted: the M wanted attributes. One that ``own`` does not have becomes unknown; one whose two values have the
            opposite order in ``own`` is flipped.

    Returns:
        int8 (N, M).

    Raises:
        DataError: the sets have an attribute of the same name with different values.
    """
    columns = np.full((len(rows), len(wanted)), UNKNOWN, dtype=np.int8)
    for column, attribute in enumerate(wanted.attributes):
        if attribute.name not in own.names:
            continue
        found = rows[:, own.index(attribute.name)]
        there = own.attributes[own.index(attribute.name)]
        if there.values == attribute.values or (there.is_thing and attribute.is_thing):
            columns[:, column] = found
        elif there.values == attribute.values[::-1]:
            columns[:, column] = np.where(found == UNKNOWN, found, 1 - found)
        else:
            raise DataError(
                f"the attribute '{attribute.name}' is {' or '.join(attribute.values)} in {wanted.name}, but "
                f"{' or '.join(there.values)} in {own.name}: use the same phrases in both, or rename one of them"
            )
    return columns


@dataclass(frozen=True)
class AttributeTable:
    """Attribute vectors by identity.

    Attributes:
        attribute_set: the attributes of the M columns.
        rows: pid -> int8 array (M,) of 0, 1 or -1 (unknown). Identities without a row have no attributes.
    """

    attribute_set: AttributeSet
    rows: Mapping[int, np.ndarray]

    def lookup(self, pid: int | str) -> np.ndarray:
        """Return the vector (M,) of ``pid``, an integer or one of the host's train labels such as ``"market1501_12"``.

        An identity without a row, or with an unknown value in the file, gets -1 everywhere: it counts for retrieval,
        but never for a loss on attributes or an attribute metric.
        """
        row = self.rows.get(raw_pid(pid))
        if row is None or (row == UNKNOWN).any():
            return np.full(len(self.attribute_set), UNKNOWN, dtype=np.int8)
        return row

    def matrix(self, pids: Iterable[int | str]) -> np.ndarray:
        """Return the vectors of several identities, int8 (N, M)."""
        rows = [self.lookup(pid) for pid in pids]
        return np.stack(rows) if rows else np.empty((0, len(self.attribute_set)), np.int8)


def raw_pid(pid: int | str) -> int:
    """Return the number of an identity: 12 for 12, ``"market1501_12"`` and ``"market1501_test_12"``."""
    if not isinstance(pid, str):
        return int(pid)
    match = re.search(r"-?\d+$", pid)
    if match is None:
        raise DataError(f"the identity label '{pid}' does not end with a number, so it has no attribute row")
    return int(match.group())


def read_attribute_file(path: str | Path, attribute_set: AttributeSet) -> AttributeTable:
    """Read a published attribute file, train and test rows together.

    Args:
        path: the .mat file.
        attribute_set: the attributes to read, in their order; other fields (``age``) are ignored.

    Raises:
        DataError: the file is missing or unreadable, a field is missing, a column has another length than
            ``image_index``, a value is not 0 (unknown), 1 or 2, or an identity has two different rows.
    """
    path = Path(path)
    struct = _load_struct(path, attribute_set.struct)
    rows: dict[int, np.ndarray] = {}
    for split in ("train", "test"):
        part = getattr(struct, split, None)
        if part is None:
            raise DataError(f"the attribute file {path} has no field '{attribute_set.struct}.{split}'")
        pids, columns = _read_split(path, split, part, attribute_set)
        for pid, row in zip(pids, columns, strict=True):
            if pid in rows and not np.array_equal(rows[pid], row):
                raise DataError(f"the attribute file {path} has two different rows for identity {pid}")
            rows[pid] = row
    return AttributeTable(attribute_set, rows)


def _load_struct(path: Path, name: str) -> Any:
    from scipy.io import loadmat

    if not path.is_file():
        raise DataError(f"the attribute file {path} does not exist; put it beside the image folders")
    try:
        content = loadmat(str(path), squeeze_me=True, struct_as_record=False)
    except Exception as error:
        raise DataError(f"the attribute file {path} cannot be read as a MATLAB file: {error}") from error
    if name not in content:
        found = ", ".join(key for key in content if not key.startswith("__")) or "nothing"
        raise DataError(f"the attribute file {path} holds {found}, but not '{name}'")
    return content[name]


def _read_split(
    path: Path, split: str, part: Any, attribute_set: AttributeSet
) -> tuple[list[int], np.ndarray]:
    fields = set(getattr(part, "_fieldnames", ()))
    for name in ("image_index", *attribute_set.names):
        if name not in fields:
            raise DataError(f"the attribute file {path} has no field '{name}' in '{split}'")
    pids = [_to_pid(path, value) for value in np.atleast_1d(part.image_index)]
    columns = []
    for name in attribute_set.names:
        values = np.atleast_1d(getattr(part, name))
        if values.shape != (len(pids),):
            raise DataError(
                f"the field '{name}' of '{split}' in {path} has {values.size} values for {len(pids)} identities"
            )
        if not np.isin(values, (0, 1, 2)).all():
            bad = values[~np.isin(values, (0, 1, 2))].tolist()[0]
            raise DataError(
                f"the field '{name}' of '{split}' in {path} holds {bad!r}; only 1, 2 and 0 (unknown) are allowed"
            )
        columns.append(values.astype(np.int8) - 1)
    rows = np.stack(columns, axis=1)
    if set(np.unique(rows)) == {UNKNOWN, 0}:
        raise DataError(
            f"'{split}' in {path} holds only 0 and 1: is it coded 0/1? Here 1 means no, 2 yes and 0 unknown; add 1 "
            "to each value"
        )
    return pids, rows


def _to_pid(path: Path, value: Any) -> int:
    try:
        pid = int(value)
        if isinstance(value, float) and value != pid:
            raise ValueError(value)
        return pid
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            f"the attribute file {path} has the identity '{value}', which is not a number"
        ) from None
