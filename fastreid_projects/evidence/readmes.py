"""The tables of results in the READMEs, from kept records; they stand between two comments, and all else is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fastreid_projects.errors import DataError
from fastreid_projects.evidence.claims import Claim
from fastreid_projects.evidence.kept import kept, kept_numbers
from fastreid_projects.evidence.pages import (
    NOT_YET,
    judge,
    markdown,
    seeds_text,
    statements_table,
    values,
)
from fastreid_projects.evidence.report import Found, spread_text
from fastreid_projects.evidence.statements import Statement
from fastreid_projects.files import write_aside

START = "<!-- The table below is made by a program: make results -->"
END = "<!-- The table above is made by a program: make results -->"
_IN_WORDS = {"yes": ": seen", "no": ": not seen", "not told apart": ": not told apart"}


def write_readmes(
    statements: Mapping[str, Sequence[Statement]],
    claims: Sequence[Claim],
    docs: str | Path,
    root: str | Path,
) -> list[Path]:
    """Write the tables of ``README.md`` and of each ``projects/<paper>/README.md`` anew.

    Args:
        statements: by paper.
        claims: the list of runs.
        docs: the folder of the pages, whose ``results/records`` hold the numbers.
        root: the folder of the README.

    Returns:
        The files.

    Raises:
        DataError: a README is missing, or has no place for its table.
    """
    found = {claim.name: kept_numbers(kept(claim, Path(docs) / "results" / "records")) for claim in claims}
    first = {claim.name: claim.metrics[0] for claim in claims}
    papers = {paper: Path(root, "projects", paper, "README.md") for paper in statements}
    tables = {Path(root, "README.md"): _overview(statements, papers, found, first)}
    tables |= {papers[paper]: statements_table(own, found, first) for paper, own in statements.items()}
    texts = {path: _with_table(path, table) for path, table in tables.items()}
    return [write_aside(path, text.encode()) for path, text in texts.items()]


def _with_table(path: Path, table: str) -> str:
    """Return the text of a README with its table replaced."""
    try:
        before, start, rest = path.read_text(encoding="utf-8").partition(START)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    _, end, after = rest.partition(END)
    if not start or not end:
        raise DataError(f"{path} has no place for its table of results: the lines '{START}' and '{END}'")
    return f"{before}{START}\n\n{table}\n\n{END}{after}"


def _overview(
    statements: Mapping[str, Sequence[Statement]],
    readmes: Mapping[str, Path],
    found: Mapping[str, Found],
    first: Mapping[str, str],
) -> str:
    """Return the table of the statements that say what a paper gives."""
    rows = []
    for paper, own in statements.items():
        name = f"[{_title(readmes[paper])}](projects/{paper}/README.md)"
        for statement in own:
            if statement.gives:
                here = measured(statement, found, first)
                rows.append([name, statement.gives, here, statement.printed])
                name = ""
    return markdown(
        rows, ["paper", "what it gives", "measured here, beside its baseline", "the paper prints"]
    )


def _title(readme: Path) -> str:
    """Return the name of a paper as the first line of its README has it: what stands before the colon."""
    with readme.open(encoding="utf-8") as file:
        return file.readline().removeprefix("#").partition(":")[0].strip()


def measured(statement: Statement, found: Mapping[str, Found], first: Mapping[str, str]) -> str:
    """Return a statement's means beside those of its baseline, and whether seeds tell them apart.

    Args:
        statement: one with ``gives``.
        found: numbers of the tables.
        first: each table's first metric.
    """
    table, ours, theirs = values(statement, found, first)
    if not table:
        return NOT_YET
    metric = (statement.value or statement.higher)[1] or first[table]
    page = f"docs/results/{statement.paper.lower()}.md#{table}"
    numbers = f"[{metric} {spread_text(ours)}]({page})"
    if theirs:
        numbers += f" beside {spread_text(theirs)} of {statement.beside}"
    return f"{numbers}; {seeds_text(len(ours))}{_IN_WORDS.get(judge(statement, found, first)[0], '')}"
