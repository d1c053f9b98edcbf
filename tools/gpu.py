"""Tests, benchmarks and short runs on a GPU: python tools/gpu.py [--parts NAME ...] [--quick]."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("gpu"))
