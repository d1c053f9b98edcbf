"""Write a clean file of weights: python tools/convert.py --config-file X.yml --weights W.pth --output clean.pth."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("convert"))
