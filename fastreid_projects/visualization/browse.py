"""The data for the tools of a page: contents, search, filter, sort.

Without a script, the page shows everything; the script reads these data and enables the tools.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Trait(NamedTuple):
    """An attribute in one part of a page.

    Attributes:
        share: share of the distance, 0..1.
        state: "differs", "alike", or "" if not known.
        drawn: whether the part shows a map of it.
    """

    share: float
    state: str
    drawn: bool


@dataclass(frozen=True)
class Entry:
    """One part of a page.

    Attributes:
        id: id of its element.
        title: its title in the contents.
        files: names of its files.
        persons: the persons in the files; "" if not known.
        marks: the marks to filter by.
        distance: the distance to sort by.
        group: id of the element above that it belongs to; "" for none.
        attributes: its attributes by topic.
    """

    id: str
    title: str
    files: Sequence[str]
    persons: Sequence[str] = ()
    marks: Sequence[str] = ()
    distance: float = 0.0
    group: str = ""
    attributes: Mapping[str, Trait] = field(default_factory=dict)


def browse(entries: Sequence[Entry], marks: Mapping[str, str], noun: str) -> dict[str, Any]:
    """Return the values for ``browse.html.jinja``.

    Args:
        entries: the parts, in the order of the page.
        marks: words for each mark; marks without entries are left out.
        noun: the plural noun for the parts, e.g. "pairs".
    """
    count = Counter(mark for entry in entries for mark in entry.marks)
    topics = sorted({topic for entry in entries for topic in entry.attributes}, key=str.lower)
    number = {topic: i for i, topic in enumerate(topics)}
    return {
        "noun": noun,
        "entries": entries,
        "marks": [(mark, words, count[mark]) for mark, words in marks.items() if count[mark]],
        "topics": topics,
        "states": sorted({trait.state for e in entries for trait in e.attributes.values() if trait.state}),
        "persons": any(person for entry in entries for person in entry.persons),
        "data": [
            {
                "id": entry.id,
                "files": [name.lower() for name in entry.files],
                "persons": [_person(person) for person in entry.persons if person],
                "marks": list(entry.marks),
                "distance": entry.distance,
                "group": entry.group,
                "attributes": {
                    number[topic]: [round(trait.share, 5), trait.state, trait.drawn]
                    for topic, trait in entry.attributes.items()
                },
            }
            for entry in entries
        ],
    }


def _person(name: str) -> str:
    """Return a person's name as the script compares it: in lower case, and 0040 as 40."""
    return name.lower().lstrip("0") or "0"
