"""The file of own attributes, ``attributes.yaml``: the values in the columns of a table, and the words for them.

::

    attributes:
      backpack:                   # a column of the table with yes or no: one attribute
        phrase: backpack          # "backpack" and "no backpack" in reports
        group: bags
      sleeves:                    # two values: one attribute
        phrase: sleeves
        values: {long: long sleeves, short: short sleeves}
      top:                        # three values or more: an attribute for each
        phrase: top
        values: [red, blue, black]  # "red top", "blue top", "black top"
        level: image              # each picture has its own value; with the default, identity, each person has one
    ignored: [note]               # columns that are not attributes
    people: Market1501            # the dataset whose identities attributes.csv names, if it is not a FolderReID
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from fastreid_projects.data.attributes import Attribute
from fastreid_projects.data.own.columns import NO_YES, UNKNOWN_CELLS, Column, OwnAttributes
from fastreid_projects.data.own.located import Located, read_located
from fastreid_projects.errors import DataError

WORDS = "attributes.yaml"
HELP = "docs/own_attributes.md"
LEVELS = ("identity", "image")
_RESERVED = ("path", "pid", "camid", "split")
_KEYS = ("attributes", "ignored", "people")
_KEYS_OF_ONE = ("phrase", "values", "level", "group")


def read_words(path: str | Path) -> OwnAttributes:
    """Read an ``attributes.yaml``; see the module.

    Raises:
        DataError: something cannot be used; the message names its line.
    """
    text, root = read_located(Path(path))
    parts = root.mapping("the file")
    _check_keys(parts, _KEYS, "the file")
    if "attributes" not in parts:
        raise DataError(f"{path} has no 'attributes': describe the columns of the table there ({HELP})")
    columns: list[Column] = []
    attributes: list[Attribute] = []
    for name, entry in parts["attributes"].mapping("attributes").items():
        column, made = _read_column(name, entry, first=len(attributes))
        _check_new(entry, column, columns, made, attributes)
        columns.append(column)
        attributes += made
    if len(attributes) < 2:
        raise DataError(
            f"{path} makes {len(attributes)} attribute, but distances are split into two or more; add one"
        )
    ignored = parts["ignored"].texts("ignored") if "ignored" in parts else []
    people = parts["people"].text("people") if "people" in parts else ""
    return OwnAttributes(
        name=str(path),
        struct="",
        file_name=WORDS,
        attributes=tuple(attributes),
        columns=tuple(columns),
        people=people,
        ignored=tuple(name.lower() for name in ignored),
        text=text,
    )


def _check_keys(parts: dict[str, Located], known: Sequence[str], what: str) -> None:
    for name, part in parts.items():
        if name not in known:
            raise DataError(f"{part.where}: '{name}' of {what} is unknown; known are {', '.join(known)}")


def _read_column(name: str, entry: Located, first: int) -> tuple[Column, list[Attribute]]:
    """Read an entry of ``attributes``: the column, and the attributes that are made of it."""
    if name.lower() in _RESERVED:
        raise DataError(
            f"{entry.where}: no attribute can be called '{name}', a column of every table; give it another name"
        )
    parts = entry.mapping(name)
    _check_keys(parts, _KEYS_OF_ONE, name)
    if "phrase" not in parts:
        raise DataError(f"{entry.where}: '{name}' has no phrase; add words for it, such as 'phrase: {name}'")
    phrase = parts["phrase"].text(f"the phrase of '{name}'")
    group = parts["group"].text(f"the group of '{name}'") if "group" in parts else ""
    level = parts["level"].text(f"the level of '{name}'") if "level" in parts else LEVELS[0]
    if level not in LEVELS:
        raise DataError(
            f"{parts['level'].where}: the level of '{name}' is '{level}'; it has to be identity or image"
        )
    phrases = _read_values(name, phrase, parts["values"]) if "values" in parts else _thing(phrase)
    column = Column(name, level, tuple(phrases), first)
    own = _plain(name)
    if column.values == NO_YES:
        return column, [Attribute(own, phrase, _pair(phrases.values()), is_thing=True, group=group)]
    if len(phrases) == 2:
        return column, [Attribute(own, phrase, _pair(phrases.values()), is_thing=False, group=group)]
    return column, [
        Attribute(
            f"{own}_{_plain(value)}",
            words,
            _pair(_thing(words).values()),
            is_thing=True,
            group=group or phrase,
        )
        for value, words in phrases.items()
    ]


def _read_values(name: str, phrase: str, part: Located) -> dict[str, str]:
    """Return the phrase of each value, by the values in lower case."""
    what = f"the values of '{name}'"
    if part.is_list:
        texts = part.texts(what)
        if {value.lower() for value in texts} == set(NO_YES):
            return _thing(phrase)
        found = [(value, f"{value} {phrase}") for value in texts]
    else:
        entries = part.mapping(what)
        found = [
            (value, entry.text(f"the phrase of '{value}' of '{name}'")) for value, entry in entries.items()
        ]
    phrases: dict[str, str] = {}
    for value, words in found:
        small = value.lower()
        if small in phrases or words in phrases.values():
            raise DataError(f"{part.where}: {what} contain '{value}' or its phrase twice; remove one of them")
        if small in UNKNOWN_CELLS:
            raise DataError(
                f"{part.where}: '{value}' of '{name}' means unknown in a table; give it another name"
            )
        phrases[small] = words
    if len(phrases) < 2:
        raise DataError(f"{part.where}: {what} have to be at least two")
    if set(phrases) == set(NO_YES):
        phrases = {value: phrases[value] for value in NO_YES}
    return phrases


def _thing(words: str) -> dict[str, str]:
    return {"no": f"no {words}", "yes": words}


def _pair(words: Iterable[str]) -> tuple[str, str]:
    first, second = words
    return first, second


def _plain(name: str) -> str:
    """Return a name for keys and file names: without spaces, points and slashes."""
    return re.sub(r"[^\w-]+", "_", name)


def _check_new(
    entry: Located,
    column: Column,
    columns: Sequence[Column],
    made: Sequence[Attribute],
    attributes: Sequence[Attribute],
) -> None:
    """Check that neither a column nor an attribute made of it has a name that is already taken."""
    if column.key in {other.key for other in columns}:
        raise DataError(f"{entry.where}: 'attributes' contains '{column.name}' twice; remove one of them")
    known = {attribute.name for attribute in attributes}
    for number, attribute in enumerate(made):
        if attribute.name in known | {other.name for other in made[:number]}:
            raise DataError(
                f"{entry.where}: '{column.name}' makes the attribute '{attribute.name}', which already exists; give it "
                "or its value another name"
            )
