"""Fit a threshold: python tools/threshold.py --config-file X.yml --pictures FOLDER --rate 0.001."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("threshold"))
