"""``python -m fastreid_projects.data.demo``: draw the synthetic demo set and, if asked to, its contact sheet."""

from __future__ import annotations

import argparse
import sys

from fastreid_projects.data.demo.build import default_root, ensure_drawn
from fastreid_projects.data.demo.plan import SPECS
from fastreid_projects.data.demo.sheet import save_contact_sheet
from fastreid_projects.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m fastreid_projects.data.demo", description=__doc__)
    parser.add_argument("--root", default=str(default_root()), help="folder of all datasets")
    parser.add_argument("--domain", choices=sorted(SPECS), default="A", help="B is the second domain")
    parser.add_argument(
        "--workers", type=int, default=None, help="number of processes; by default the number of cores"
    )
    parser.add_argument(
        "--contact-sheet",
        metavar="PNG",
        help="also write a contact sheet of identities and cameras to this file",
    )
    options = parser.parse_args(arguments)
    spec = SPECS[options.domain]
    try:
        print(ensure_drawn(spec, options.root, options.workers))
        if options.contact_sheet:
            save_contact_sheet(spec, options.contact_sheet)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
