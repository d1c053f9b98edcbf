"""Same person? python tools/match.py --config-file X.yml --threshold T.json --images A.jpg B.jpg."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("match"))
