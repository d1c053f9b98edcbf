"""Attributes of one's own, and the columns of a table that they are made of."""

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
        name: in the table, without regard to capitals.
        level: ``"identity"``, where all pictures of a person have one value, or ``"image"``.
        values: what a cell may say, in small letters.
        first: position of its first attribute in the set.
    """

    name: str
    level: str
    values: tuple[str, ...]
    first: int

    @property
    def key(self) -> str:
        """The name in small letters, as tables are read."""
        return self.name.lower()

    @property
    def places(self) -> slice:
        """Where its attributes stand in the set: one for two values, else one for each value."""
        return slice(self.first, self.first + (1 if len(self.values) == 2 else len(self.values)))

    def read(self, cell: str) -> tuple[int, ...] | None:
        """Return the values of its attributes, each 0, 1 or -1 (unknown); None for a cell that it does not know.

        A cell of three or more values may name several of them, joined by ``+``, or ``none`` of them.

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
    """Attributes of one's own.

    Attributes:
        columns: what they are made of.
        people: the registered dataset whose identities ``attributes.csv`` names; "" for a folder of own pictures.
        ignored: columns that are not attributes, in small letters.
        text: of the file.
    """

    columns: tuple[Column, ...] = ()
    people: str = ""
    ignored: tuple[str, ...] = ()
    text: str = field(default="", repr=False, compare=False)
