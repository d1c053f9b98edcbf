"""Fig. 3 and 5 of AMD: python tools/attribute_statistics.py --dataset Market1501 [--output logs/market]."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("attribute-statistics"))
