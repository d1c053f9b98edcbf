"""Write ``typed_config.pyi``, from which an editor knows the keys of a config: a class for each group of keys.

    python -m fastreid_projects.config.stub

writes the file again, which is needed after a key was added; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[1] / "typed_config.pyi"
_HEAD = '''"""Every key of a config and its type; written by ``python -m fastreid_projects.config.stub``."""

from collections.abc import Sequence
from typing import Any, Self

class Node(dict[str, Any]):
    """A group of keys."""

    def clone(self) -> Self: ...
    def freeze(self) -> None: ...
    def defrost(self) -> None: ...
    def is_frozen(self) -> bool: ...
    def dump(self) -> str: ...
    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = False) -> None: ...
    def merge_from_list(self, cfg_list: Sequence[Any]) -> None: ...
    def merge_from_other_cfg(self, cfg_other: Node) -> None: ...
'''


def stub(cfg: Any) -> str:
    """Return the stub of a config with all keys."""
    return f"{_HEAD}\n{chr(10).join(_classes(cfg, 'Config'))}\n"


def _classes(node: Any, name: str) -> Iterator[str]:
    """Yield the lines of a group's class; the classes of the groups in it come first."""
    groups = {key: value for key, value in node.items() if isinstance(value, dict)}
    for key, value in groups.items():
        yield from _classes(value, _class_name(name, key))
        yield ""
    yield f"class {name}(Node):"
    if not node:
        yield "    pass"
    for key, value in node.items():
        kind = _class_name(name, key) if key in groups else _type(value)
        yield f"    {key}: {kind}"


def _class_name(group: str, key: str) -> str:
    return f"{'' if group == 'Config' else group}{key.title().replace('_', '')}"


def _type(value: Any) -> str:
    """Return the type of a default; a tuple may be replaced by a list in a config, and the other way round."""
    if isinstance(value, (list, tuple)):
        return "Sequence[Any]"
    return "Any" if value is None else type(value).__name__


def main() -> None:
    """Write the file."""
    from fastreid_projects.config import load_config

    PATH.write_text(stub(load_config()), encoding="utf-8")


if __name__ == "__main__":
    main()
