"""Ratios and peak memory, side by side in one process: python tools/benchmark.py [--case NAME] [--quick]."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("benchmark"))
