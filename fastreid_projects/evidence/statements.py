"""The statements of the papers and the runs that test them: ``tools/claims.yml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fastreid_projects.errors import ConfigError
from fastreid_projects.evidence.claims import Claim

_NEEDED = {"claim", "where", "tables"}
_ALLOWED = _NEEDED | {"printed", "higher", "lower", "within", "value", "gives", "beside"}


class Statement(NamedTuple):
    """A statement of a paper that numbers can confirm.

    Attributes:
        paper: the name of the paper.
        text: the statement.
        where: the table or figure in the paper.
        printed: the paper's own numbers; "" for none.
        tables: the names of the tables of runs; the first one decides.
        higher: (row, metric) that should be higher; the metric "" stands for the table's first.
        lower: (row, metric) that should be lower.
        within: the maximum difference of the two; None if one should be higher.
        value: (row, metric) to print without a comparison; None for a comparison.
        gives: what the paper gives, if the README's table has this statement; "" if not.
        beside: the name of ``lower`` in that table.
    """

    paper: str
    text: str
    where: str
    printed: str
    tables: tuple[str, ...]
    higher: tuple[str, str]
    lower: tuple[str, str]
    within: float | None
    value: tuple[str, str] | None
    gives: str = ""
    beside: str = ""


def read_statements(path: str | Path, claims: Sequence[Claim]) -> dict[str, list[Statement]]:
    """Read the statements of each paper.

    Args:
        path: the file.
        claims: the tables that it may name.

    Raises:
        ConfigError: the file is missing or malformed, or names an unknown table or row; the message says which.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the statements {path} cannot be read: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(entries, list) for entries in content.values()):
        raise ConfigError(f"{path} has to be a mapping from papers to lists of statements")
    rows = {claim.name: {row.name for row in claim.rows} for claim in claims}
    return {
        paper: [
            _statement(f"{path}: {paper}, statement {number}", paper, entry, rows)
            for number, entry in enumerate(entries, 1)
        ]
        for paper, entries in content.items()
    }


def _statement(where: str, paper: str, entry: Any, rows: Mapping[str, set[str]]) -> Statement:
    if not isinstance(entry, dict) or _NEEDED - set(entry) or set(entry) - _ALLOWED:
        raise ConfigError(
            f"{where} has to have {', '.join(sorted(_NEEDED))}, and may have {', '.join(sorted(_ALLOWED - _NEEDED))}"
        )
    if entry["tables"] and ("value" in entry) == ("higher" in entry and "lower" in entry):
        raise ConfigError(f"{where} names tables: it needs either value, or both higher and lower")
    if ("beside" in entry) != ("gives" in entry and "higher" in entry):
        raise ConfigError(
            f"{where}: gives and higher need beside, the name of what is lower, and beside needs both"
        )
    sides = {side: _side(entry.get(side, "")) for side in ("higher", "lower", "value")}
    for table in entry["tables"]:
        if table not in rows:
            raise ConfigError(f"{where} names the table {table}, which is not in the list of runs")
        for row, _ in sides.values():
            if row and row not in rows[table]:
                raise ConfigError(f"{where} names the row {row}, which is not in the table {table}")
    return Statement(
        paper,
        entry["claim"],
        entry["where"],
        str(entry.get("printed", "")),
        tuple(entry["tables"]),
        sides["higher"],
        sides["lower"],
        entry.get("within"),
        sides["value"] if "value" in entry else None,
        entry.get("gives", ""),
        entry.get("beside", ""),
    )


def _side(text: str) -> tuple[str, str]:
    row, _, metric = text.partition(":")
    return row, metric
