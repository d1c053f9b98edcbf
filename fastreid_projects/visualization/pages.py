"""HTML pages from jinja2 templates: each is one file that loads nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

SHARED = Path(__file__).with_name("templates")


def render(template: str, folder: Path = SHARED, **values: Any) -> str:
    """Fill in a template; bytes of file names that are not UTF-8 become the replacement character.

    Args:
        template: name of the template's file.
        folder: folder of the file, which may include the templates that all pages share (``style.css.jinja``).
        values: the values that the template prints; a missing one is an error.
    """
    environment = Environment(
        loader=FileSystemLoader([folder, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(**values)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
