"""Train what the papers claim and tabulate it: python tools/evidence.py --list tools/evidence.yml [--quick]."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("evidence"))
