"""The blocks of a document: their language, their text, and whether a line says that they need something."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)
_HEADING = re.compile(r"^(#+) ")
_NEEDS = re.compile(r"^\*Needs [^*]+\.\*$", re.M)
_AT_THE_END = re.compile(r"^\*Needs [^*]+\.\*\s*\Z", re.M)


class Block(NamedTuple):
    """A block of code.

    Attributes:
        language: what stands behind its fence.
        text: its lines.
        needs: a line ``*Needs ...*`` says so: the last one before it, or one in the text that begins a section that it
            is in.
    """

    language: str
    text: str
    needs: bool


def blocks(path: Path) -> list[Block]:
    """Return all blocks of a document, in order."""
    found: list[Block] = []
    sections: dict[int, bool] = {0: False}  # of the open sections, by depth: whether their text has the mark
    place, text = 0, path.read_text(encoding="utf-8")
    for fence in _FENCE.finditer(text):
        before = text[place : fence.start()]
        for part in re.split(r"(?m)^(?=#+ )", before):
            heading = _HEADING.match(part)
            if heading:
                depth = len(heading[1])
                sections = {d: mark for d, mark in sections.items() if d < depth} | {depth: False}
            if _NEEDS.search(_AT_THE_END.sub("", part)):
                sections[max(sections)] = True
        needs = bool(_AT_THE_END.search(before)) or any(sections.values())
        found.append(Block(fence[1], fence[2], needs))
        place = fence.end()
    return found
