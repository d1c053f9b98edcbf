"""The pages of results, made from kept records: a summary of every statement, and a page for each paper.

They contain only numbers that have a record. Text that people wrote on a paper's page, below the part made by this
program, is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from fastreid_projects.evidence.claims import Claim
from fastreid_projects.evidence.kept import kept, kept_numbers
from fastreid_projects.evidence.report import (
    Found,
    bounds,
    differences_list,
    interval,
    scores_table,
    spread_text,
)
from fastreid_projects.evidence.statements import Statement
from fastreid_projects.files import write_aside

END = "<!-- Above this line the page is made by a program: make results -->"
NOT_YET = "not measured yet"
NEEDS = "*Needs {}minutes to hours of training for each; the tests only parse these commands.*"
_SUMMARY = """\
# Results

Every claim of the papers, and whether it was seen here. "Here" is the [synthetic demo set](demo_data.md) on CPUs, with
small twins of the papers' models: a claim that is seen there is not proven on the papers' data, and one that is not
seen is not refuted. Numbers are differences in per cent, paired by seed, with the 95 % interval of their mean (by
Student's t): *yes* says that the interval lies on the claim's side, *no* that it lies on the other, *not told apart*
that it includes zero. What has no record of a run with today's settings is *not measured yet*.

"""
_MADE = """
`make evidence` trains what is missing, one training after the other into `logs/evidence`, and resumes where it was
stopped; `make results` keeps the records of finished runs in `results/records` and makes these pages from them.
The papers' own tables, on their data, have not been run: they need the data and a GPU.

FastReID's own architectures on the demo set: [a page of their own](results/host.md).
"""


def write_pages(
    statements: Mapping[str, Sequence[Statement]], claims: Sequence[Claim], docs: str | Path
) -> list[Path]:
    """Write ``results.md`` and ``results/<paper>.md`` from the records in ``results/records``.

    Args:
        statements: the statements of each paper.
        claims: the list of runs.
        docs: the folder of the pages.

    Returns:
        The paths of the pages.
    """
    folder = Path(docs) / "results"
    entries = {claim.name: kept(claim, folder / "records") for claim in claims}
    found = {name: kept_numbers(trained) for name, trained in entries.items()}
    first = {claim.name: claim.metrics[0] for claim in claims}
    pages = {Path(docs) / "results.md": _summary(statements, found, first)}
    for paper, own in statements.items():
        path = folder / f"{paper.lower()}.md"
        tables = [claim for claim in claims if any(claim.name in statement.tables for statement in own)]
        pages[path] = _paper(paper, own, tables, entries, first) + _written_below(path)
    return [write_aside(path, text.encode()) for path, text in pages.items()]


def _written_below(path: Path) -> str:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text.partition(END)[2] or "\n"


def _summary(
    statements: Mapping[str, Sequence[Statement]], found: Mapping[str, Found], first: Mapping[str, str]
) -> str:
    rows = []
    for paper, own in statements.items():
        for statement in own:
            seen, numbers, table = judge(statement, found, first)
            link = (
                f"[{table}](results/{paper.lower()}.md#{table})"
                if table
                else f"[page](results/{paper.lower()}.md)"
            )
            rows.append([paper, statement.text, statement.where, seen, numbers, link])
    head = ["paper", "claim", "in the paper", "seen here", "measured here", "records and commands"]
    return f"{_SUMMARY}{markdown(rows, head)}\n{_MADE}"


def _paper(
    paper: str,
    statements: Sequence[Statement],
    tables: Sequence[Claim],
    entries: Mapping[str, Sequence[dict[str, Any]]],
    first: Mapping[str, str],
) -> str:
    found = {name: kept_numbers(trained) for name, trained in entries.items()}
    text = [f"# {paper}: results", "", statements_table(statements, found, first), ""]
    for claim in tables:
        text += [f"## {claim.name}", "", f"{claim.text}.", "", *_table(claim, entries[claim.name]), ""]
    return "\n".join([*text, END])


def statements_table(
    statements: Sequence[Statement], found: Mapping[str, Found], first: Mapping[str, str]
) -> str:
    """Return the statements of a paper beside what it prints and what is measured here.

    Args:
        statements: of a paper.
        found: numbers of the tables.
        first: each table's first metric.
    """
    rows = [
        [statement.text, statement.where, statement.printed or "-", *judge(statement, found, first)[:2]]
        for statement in statements
    ]
    return markdown(rows, ["claim", "in the paper", "the paper prints", "seen here", "measured here"])


def _table(claim: Claim, trained: Sequence[dict[str, Any]]) -> list[str]:
    if not trained:
        return [f"*{NOT_YET.capitalize()}.*"]
    found = kept_numbers(trained)
    hardware = [entry["hardware"] for entry in trained]
    threads = f"threads: {_joined(str(h['torch_threads']) for h in hardware)}"
    made = (
        f"Commit {_joined(entry['commit'][:12] or '-' for entry in trained)}; {_joined(h['cpu'] for h in hardware)}, "
        f"{threads} of {_joined(str(h['cores']) for h in hardware)} cores, "
        f"PyTorch {_joined(entry['versions']['torch'] for entry in trained)}."
    )
    commands = ["```sh", *(entry["command"] for entry in trained), "```"]
    lines = differences_list(claim, found)
    needs = NEEDS.format(f"{claim.needs}, and " if claim.needs else "")
    return [scores_table(claim, found), "", *lines, *([""] if lines else []), made, "", needs, "", *commands]


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def judge(statement: Statement, found: Mapping[str, Found], first: Mapping[str, str]) -> tuple[str, str, str]:
    """Return whether a statement was seen, its numbers, and the table that they are from.

    Args:
        statement: a statement of a paper.
        found: the numbers of the tables.
        first: the first metric of each table.
    """
    table, ours, theirs = values(statement, found, first)
    if not table:
        return NOT_YET, "-", ""
    if statement.value:
        return "measured", spread_text(ours), table
    pairs = [a - b for a, b in zip(ours, theirs, strict=True)]
    what = _difference(statement, first[table])
    return _verdict(pairs, statement.within), f"{what}: {interval(pairs)}; {seeds_text(len(pairs))}", table


def values(
    statement: Statement, found: Mapping[str, Found], first: Mapping[str, str]
) -> tuple[str, list[float], list[float]]:
    """Return the first table with numbers of a statement, those of its higher side, and those of its lower, by seed.

    The table is "" where nothing is measured. Of a single value, the lower side is empty.

    Args:
        statement: of a paper.
        found: numbers of the tables.
        first: each table's first metric.
    """
    for table in statement.tables:
        rows = found.get(table, {})
        if statement.value:
            alone = list(_values(rows, statement.value, first[table]).values())
            if alone:
                return table, alone, []
            continue
        higher, lower = (_values(rows, side, first[table]) for side in (statement.higher, statement.lower))
        both = [seed for seed in higher if seed in lower]
        if both:
            return table, [higher[seed] for seed in both], [lower[seed] for seed in both]
    return "", [], []


def seeds_text(count: int) -> str:
    """Return how many seeds there are, in words."""
    return f"{count} seeds" if count > 1 else "one seed"


def _difference(statement: Statement, metric: str) -> str:
    """Return e.g. ``fidi − triplet, mAP``, or ``X-mAP_e − random_X-mAP_e, ROW`` for two metrics of one row."""
    (higher, ours), (lower, theirs) = statement.higher, statement.lower
    if higher == lower:
        return f"{ours} − {theirs}"
    return f"{higher} − {lower}, {ours or metric}"


def _values(rows: Found, side: tuple[str, str], metric: str) -> dict[int, float]:
    row, own = side
    name = own or metric
    return {seed: numbers[name] for seed, numbers in rows.get(row, {}).items() if name in numbers}


def _verdict(pairs: Sequence[float], within: float | None) -> str:
    if len(pairs) < 2:
        return "one seed, which proves little"
    low, high = bounds(pairs)
    if within is not None:
        apart = low > within or high < -within
        return "yes" if -within <= low and high <= within else "no" if apart else "not told apart"
    return "yes" if low > 0 else "no" if high < 0 else "not told apart"


def markdown(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    return tabulate(rows, headers=head, tablefmt="pipe", disable_numparse=True)
