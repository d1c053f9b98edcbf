"""The reference of all config keys as Markdown: names, types, defaults, ranges, and the comments beside the keys.

    python -m fastreid_projects.config.reference

prints it; the docs site has a page for each paper.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fastreid_projects.config.comments import key_comments
from fastreid_projects.config.ranges import RUN, TRAINING
from fastreid_projects.config.values import all_keys, get_key
from fastreid_projects.plugins import PAPERS, SHARED_KEYS, own_cfg

HOST_WORDS = Path(__file__).with_name("host_keys.yml")
"""Descriptions of FastReID's keys whose own comments are missing or say less."""
_HOST_PATCHES = Path(__file__).parents[1] / "host"
OWN, HOST = "own", "fastreid"
_TITLES = {
    OWN: (
        "Keys of this project",
        "Keys that do not belong to a single paper; with their defaults, every config means the same as in FastReID.",
    ),
    HOST: (
        "FastReID's keys",
        "The keys of FastReID 1.4.0 with their accepted values; the descriptions are FastReID's or this project's.",
    ),
}


class Key(NamedTuple):
    """A config key.

    Attributes:
        name: the dotted name.
        default: the default value.
        words: what it does; "" if there is no description.
    """

    name: str
    default: Any
    words: str


def keys_by_page() -> dict[str, list[Key]]:
    """Return every key once, by the page it is on: ``own``, a paper's name in lower case, ``fastreid``."""
    cfg = own_cfg()
    comments = {OWN: _own_comments()}
    comments |= {name.lower(): _comments_of(paper.add_config) for name, paper in PAPERS.items()}
    theirs = _host_comments() | yaml.safe_load(HOST_WORDS.read_text(encoding="utf-8"))
    pages: dict[str, list[Key]] = {page: [] for page in (*comments, HOST)}
    for name in all_keys(cfg):
        page = next((page for page, found in comments.items() if name in found), HOST)
        words = comments[page][name] if page != HOST else theirs.get(name, "")
        pages[page].append(Key(name, get_key(cfg, name), words))
    return pages


def key_pages() -> dict[str, str]:
    """Return the Markdown of each page of :func:`keys_by_page`."""
    titles = _TITLES | {name.lower(): (f"Keys of {name}", "") for name in PAPERS}
    return {page: _page(*titles[page], keys) for page, keys in keys_by_page().items()}


def _own_comments() -> dict[str, str]:
    found: dict[str, str] = {}
    for add in SHARED_KEYS:
        found |= _comments_of(add)
    for path in sorted(_HOST_PATCHES.rglob("*.py")):
        found |= key_comments(path.read_text(encoding="utf-8"), "_C")
    return found


def _comments_of(add_config: str) -> dict[str, str]:
    return key_comments(_source(add_config.partition(":")[0]))


def _host_comments() -> dict[str, str]:
    return key_comments(_source("fastreid.config.defaults"), "_C", shared=False)


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


def _page(title: str, text: str, keys: list[Key]) -> str:
    return "\n".join([f"# {title}", "", *([text, ""] if text else []), *_sections(keys)])


def _sections(keys: list[Key]) -> Iterator[str]:
    """Yield a section for each group of keys, in the order of the groups' names; in it, the order of the source."""
    groups: dict[str, list[Key]] = {}
    for key in keys:
        groups.setdefault(key.name.rpartition(".")[0], []).append(key)
    for group, members in sorted(groups.items()):
        yield from (f"## {f'`{group}`' if group else 'At the top'}", "")
        for key in members:
            yield from (f"### `{key.name}`", "", _facts(key), "")
            if key.words:
                yield from (markdown_text(key.words), "")


def _facts(key: Key) -> str:
    kind = "list" if isinstance(key.default, (list, tuple)) else type(key.default).__name__
    wanted = (RUN | TRAINING).get(key.name)
    return f"Default `{key.default!r}` ({kind}{f', {wanted}' if wanted else ''})."


def markdown_text(comment: str) -> str:
    """Return a comment as Markdown that shows it unchanged, with keys and quoted values as code."""
    text = re.sub(r"([\\*\[\]<>])", r"\\\1", comment)
    return re.sub(r'"[\w./-]+"|\b[A-Z]+(?:_[A-Z]+)*(?:\.[A-Z][A-Z0-9_]+)+\b', r"`\g<0>`", text)


def main() -> None:
    """Print all pages."""
    print("\n".join(key_pages().values()))


if __name__ == "__main__":
    main()
