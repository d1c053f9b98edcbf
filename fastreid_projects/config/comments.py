"""The comments beside config keys, read from the sources that add the keys.

A comment belongs to the key that is assigned below it, or before it in the same line. Keys without a comment of their
own share that of the line directly above them::

    # The target F. CONFIG is the yaml it was trained with, WEIGHTS its checkpoint.
    node.TARGET = CN()
    node.TARGET.CONFIG = ""
    node.TARGET.WEIGHTS = ""
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator, Mapping


def key_comments(source: str, root: str = "cfg", *, shared: bool = True) -> dict[str, str]:
    """Return the comment of each key and each group of keys that a Python source assigns.

    Args:
        source: the text of a file.
        root: the name that the file gives to the whole config.
        shared: a key without a comment takes that of the line directly above it.

    Returns:
        Dotted keys in the order of the source; "" for a key without a comment.
    """
    above, beside = _comments(source)
    found: dict[str, str] = {}
    names = {root: ""}
    last_line, last = 0, ""
    for statement in _assignments(ast.parse(source)):
        comment = _join(above, statement.lineno) or beside.get(statement.lineno, "")
        if not comment and shared and statement.lineno == last_line + 1:
            comment = last
        keys = [*_keys(statement, names)]
        found |= {key: comment for key in keys if not found.get(key)}
        if keys:
            last_line, last = statement.end_lineno or statement.lineno, comment
    return found


def _comments(source: str) -> tuple[dict[int, str], dict[int, str]]:
    """Comments by line: those that are alone in it, and those behind code."""
    above: dict[int, str] = {}
    beside: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = not token.line[: token.start[1]].strip()
            (above if alone else beside)[token.start[0]] = token.string.lstrip("# ").rstrip()
    return above, beside


def _join(above: Mapping[int, str], line: int) -> str:
    """Return the comment that ends above a line; "" for a headline between rules of dashes."""
    lines: list[str] = []
    while (line := line - 1) in above:
        lines.insert(0, above[line])
    return "" if any(text and not text.strip("-# ") for text in lines) else " ".join(filter(None, lines))


def _assignments(tree: ast.AST) -> Iterator[ast.Assign]:
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Assign))
    yield from sorted(found, key=lambda node: node.lineno)


def _keys(statement: ast.Assign, names: dict[str, str]) -> Iterator[str]:
    """Yield the keys that an assignment sets, and note the names that it gives to groups."""
    targets = [e for t in statement.targets for e in (t.elts if isinstance(t, ast.Tuple) else [t])]
    keys = [key for target in targets if (key := _dotted(target, names))]
    group = keys[0] if keys else _dotted(statement.value, names)
    if group:
        names |= {target.id: group for target in targets if isinstance(target, ast.Name)}
    yield from keys
    for key in keys:
        yield from (f"{key}.{name}" for name in _literal_keys(statement.value))


def _dotted(node: ast.expr, names: Mapping[str, str]) -> str:
    """``MODEL.AMD.NU`` for ``node.NU``; "" for what is not a part of a config."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names or not parts:
        return ""
    if not all(part.isupper() or part.replace("_", "").isupper() for part in parts):
        return ""
    return ".".join(filter(None, [names[node.id], *parts]))


def _literal_keys(value: ast.expr) -> Iterator[str]:
    """Yield the keys of ``CN({"ENABLED": False})``."""
    if isinstance(value, ast.Call) and value.args and isinstance(value.args[0], ast.Dict):
        for key in value.args[0].keys:
            if isinstance(key, ast.Constant):
                yield str(key.value)
