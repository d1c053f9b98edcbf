"""Fig. 3 and 9 of FIDI: python tools/fidi_sweep.py [--config-file X.yml] [--output logs/fidi_sweep]."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("fidi-sweep"))
