"""Train the runs that support the papers' claims, and write a table for each claim; a second call continues."""

from __future__ import annotations

import argparse


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", required=True, metavar="YAML", help="the list of claims")
    parser.add_argument("--output", default="logs/evidence", help="folder for the runs and the tables")
    parser.add_argument("--only", nargs="*", default=(), metavar="NAME", help="only these claims")
    parser.add_argument(
        "--quick", action="store_true", help="one short run of each config, to see that the list works"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def run(args: argparse.Namespace) -> None:
    """Train the missing runs, and print the paths of the tables."""
    import logging
    import os

    from fastreid_projects.config.names import unknown_name
    from fastreid_projects.errors import DataError
    from fastreid_projects.evidence.claims import read_claims
    from fastreid_projects.evidence.make import make
    from fastreid_projects.evidence.report import command

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    claims = read_claims(args.list)
    names = [claim.name for claim in claims]
    for name in args.only:
        if name not in names:
            raise unknown_name("--only", name, names)
    chosen = [claim for claim in claims if not args.only or claim.name in args.only]
    output = os.path.join(args.output, "quick") if args.quick else args.output
    failed = make(chosen, output, quick=args.quick)
    tables = [os.path.join(output, f"{claim.name}.md") for claim in chosen]
    print("\n".join(path for path in tables if os.path.isfile(path)))
    if failed:
        raise DataError(f"{len(failed)} runs failed; the first was {command(failed[0])}")
