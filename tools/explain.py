"""Explain distances: python tools/explain.py --config-file X.yml --query a.jpg --gallery b.jpg."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("explain"))
