"""Own attributes, and the columns of a table that they are made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastreid_projects.data.attributes import UNKNOWN, AttributeSet

UNKNOWN_CELLS = ("", "?", "-1", "nan")
NO_YES = ("no", "yes")
_SPELLINGS = {"0": "no", "false": "no", "n": "no", "1": "yes", "true": "yes", "y": "yes"}
_NONE = "none"


@dataclass(frozen=True)
class Column:
    """A column of a table that attributes are made of.

    Attributes:
        name: the column's name in the table; case does not matter.
        level: ``"identity"`` if all pictures of a person have the same value, else ``"image"``.
        values: the allowed values of a cell, in lower case.
        first: position of its first attribute in the set.
    """

    name: str
    level: str
    values: tuple[str, ...]
    first: int

    @property
    def key(self) -> str:
        """The name in lower case, as tables are read."""
        return self.name.lower()

    @property
    def places(self) -> slice:
        """The positions of its attributes in the set: one for two values, else one for each value."""
        return slice(self.first, self.first + (1 if len(self.values) == 2 else len(self.values)))

    def read(self, cell: str) -> tuple[int, ...] | None:
        """Return the values of its attributes, each 0, 1 or -1 (unknown); None for a cell with an unknown value.

        A cell of a column with three or more values may name several of them, joined by ``+``, or ``none``.

        Example:
            >>> top = Column("top", "identity", ("red", "blue", "black"), 0)
            >>> [top.read(cell) for cell in ("Blue", "red + black", "none", "?", "pink")]
            [(0, 1, 0), (1, 0, 1), (0, 0, 0), (-1, -1, -1), None]
            >>> [Column("hat", "identity", ("no", "yes"), 0).read(cell) for cell in ("yes", "0", "")]
            [(1,), (0,), (-1,)]
        """
        text = cell.strip().lower()
        count = self.places.stop - self.first
        if text in UNKNOWN_CELLS:
            return (UNKNOWN,) * count
        if self.values == NO_YES:
            text = _SPELLINGS.get(text, text)
        if count == 1:
            return (self.values.index(text),) if text in self.values else None
        named = {text} if text in self.values else {part.strip() for part in text.split("+")}
        if named == {_NONE} and _NONE not in self.values:
            return (0,) * count
        if not named <= set(self.values):
            return None
        return tuple(int(value in named) for value in self.values)


@dataclass(frozen=True)
class OwnAttributes(AttributeSet):
    """Own attributes.

    Attributes:
        columns: the columns that they are made of.
        people: the registered dataset whose identities ``attributes.csv`` names; "" for a folder of own pictures.
        ignored: columns that are not attributes, in lower case.
        text: the text of the file.
    """

    columns: tuple[Column, ...] = ()
    people: str = ""
    ignored: tuple[str, ...] = ()
    text: str = field(default="", repr=False, compare=False)
