"""An extension of griffe for the API pages: convert reStructuredText roles and blocks in docstrings to Markdown."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:func|class|mod|meth|attr|data):`~?([^`]+)`")
_BLOCK = re.compile(r"::\n\n((?: {4,}.*\n?|\n)+)")


class Roles(Extension):
    """Rewrite every docstring."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = plain(obj.docstring.value)


def plain(docstring: str) -> str:
    """Return a docstring as Markdown."""
    text = _ROLE.sub(r"`\1`", docstring)
    return _BLOCK.sub(lambda block: f":\n\n{block[1]}", text)
