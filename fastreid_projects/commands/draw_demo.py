"""Draw the synthetic demo set and, on request, its contact sheet."""

from __future__ import annotations

import argparse


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--root", default="", help="folder of all datasets (default: FASTREID_DATASETS or datasets)"
    )
    parser.add_argument("--domain", default="A", help="A, or B for the second domain")
    parser.add_argument(
        "--workers", type=int, default=None, help="number of processes (default: number of cores)"
    )
    parser.add_argument("--contact-sheet", metavar="PNG", help="also write a sheet of identities and cameras")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def run(args: argparse.Namespace) -> None:
    """Draw the images that do not exist yet, and print their folder."""
    from fastreid_projects.data.demo.build import default_root, ensure_drawn
    from fastreid_projects.data.demo.plan import SPECS
    from fastreid_projects.data.demo.sheet import save_contact_sheet
    from fastreid_projects.errors import ConfigError

    if args.domain not in SPECS:
        raise ConfigError(f"--domain is {args.domain} but has to be one of {', '.join(sorted(SPECS))}")
    spec = SPECS[args.domain]
    print(ensure_drawn(spec, args.root or default_root(), args.workers))
    if args.contact_sheet:
        save_contact_sheet(spec, args.contact_sheet)
