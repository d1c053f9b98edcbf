"""A YAML file whose parts know their lines, for errors; its texts are kept as written (``no`` stays "no")."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import yaml

from fastreid_projects.errors import DataError


class Located(NamedTuple):
    """A part of a YAML file.

    Attributes:
        path: path of the file.
        node: the YAML node of the part.
        where: the file and the line of its key, for errors.
    """

    path: str
    node: yaml.Node
    where: str

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    def mapping(self, what: str) -> dict[str, Located]:
        """Return the values by their keys.

        Raises:
            DataError: it is not a mapping, or has a key twice.
        """
        if not isinstance(self.node, yaml.MappingNode):
            raise DataError(f"{self.where}: {what} must be a mapping with lines such as 'key: value'")
        found: dict[str, Located] = {}
        for key, value in self.node.value:
            line = _line(self.path, key)
            name = Located(self.path, key, line).text(f"a key of {what}")
            if name in found:
                raise DataError(f"{line}: {what} has '{name}' twice; remove one of them")
            found[name] = Located(self.path, value, line)
        return found

    def texts(self, what: str) -> list[str]:
        """Return the entries of a list.

        Raises:
            DataError: it is not a list of texts.
        """
        if not isinstance(self.node, yaml.SequenceNode):
            raise DataError(f"{self.where}: {what} must be a list, such as [red, blue]")
        entries = [Located(self.path, entry, _line(self.path, entry)) for entry in self.node.value]
        return [entry.text(f"an entry of {what}") for entry in entries]

    def text(self, what: str) -> str:
        """Return a text, number or truth value as written in the file.

        Raises:
            DataError: it is something else, or empty.
        """
        if not isinstance(self.node, yaml.ScalarNode):
            raise DataError(f"{self.where}: {what} must be a text")
        found: str = self.node.value.strip()
        if not found or self.node.tag.endswith(":null"):
            raise DataError(f"{self.where}: {what} is empty; fill it in, or remove the line")
        return found


def read_located(path: Path) -> tuple[str, Located]:
    """Return the text of a YAML file, and its content.

    Raises:
        DataError: it does not exist, is not UTF-8, not YAML (with line and column), or empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeError as error:
        raise DataError(f"{path} is not UTF-8: {error}; save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise DataError(f"{path}{_place(error)}: {_reason(error)}") from error
    if node is None:
        raise DataError(f"{path} is empty")
    return text, Located(str(path), node, _line(str(path), node))


def _line(path: str, node: yaml.Node) -> str:
    return f"{path}, line {node.start_mark.line + 1}"


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _reason(error: yaml.YAMLError) -> str:
    problem = " ".join((getattr(error, "problem", None) or str(error)).split())
    return f"this is not YAML ({problem}); indent with spaces only, and put texts with ': ' or '#' in quotes"
