"""Train the runs that support the papers' claims, and write a table for each claim; a second call continues."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastreid_projects.evidence.claims import Claim


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", required=True, metavar="YAML", help="the list of claims")
    parser.add_argument("--output", default="logs/evidence", help="folder for the runs and the tables")
    parser.add_argument(
        "--only", nargs="*", default=(), metavar="NAME", help="only these claims, also those that need more"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short run of each config, to see that the list works"
    )
    parser.add_argument(
        "--claims", default="", metavar="YAML", help="the papers' statements that the runs test, for --pages"
    )
    parser.add_argument(
        "--pages",
        default="",
        metavar="DOCS",
        help="do not train: keep the records of finished runs, and write results.md and results/ in this folder",
    )
    parser.add_argument(
        "--readmes",
        default="",
        metavar="FOLDER",
        help="with --pages, also the tables of README.md and of each projects/<paper>/README.md in this folder",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def run(args: argparse.Namespace) -> None:
    """Train the missing runs, and print the paths of the tables."""
    import logging

    from fastreid_projects.config.names import unknown_name
    from fastreid_projects.errors import DataError
    from fastreid_projects.evidence.claims import read_claims
    from fastreid_projects.evidence.make import make
    from fastreid_projects.evidence.report import command

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    claims = read_claims(args.list)
    if args.pages:
        _write_pages(args, claims)
        return
    names = [claim.name for claim in claims]
    for name in args.only:
        if name not in names:
            raise unknown_name("--only", name, names)
    chosen = [claim for claim in claims if (claim.name in args.only if args.only else not claim.needs)]
    output = os.path.join(args.output, "quick") if args.quick else args.output
    failed = make(chosen, output, quick=args.quick)
    tables = [os.path.join(output, f"{claim.name}.md") for claim in chosen]
    print("\n".join(path for path in tables if os.path.isfile(path)))
    if failed:
        raise DataError(f"{len(failed)} runs failed; the first was {command(failed[0])}")


def _write_pages(args: argparse.Namespace, claims: Sequence[Claim]) -> None:
    from fastreid_projects.errors import ConfigError
    from fastreid_projects.evidence.kept import keep
    from fastreid_projects.evidence.pages import write_pages
    from fastreid_projects.evidence.readmes import write_readmes
    from fastreid_projects.evidence.statements import read_statements

    if not args.claims:
        raise ConfigError("--pages needs --claims, the statements that the pages judge")
    statements = read_statements(args.claims, claims)
    kept = keep(claims, args.output, os.path.join(args.pages, "results", "records"))
    written = [*kept, *write_pages(statements, claims, args.pages)]
    if args.readmes:
        written += write_readmes(statements, claims, args.pages, args.readmes)
    print("\n".join(map(str, written)))
