"""A Markdown table from run records: python tools/results_table.py logs/a logs/b [--metrics mAP Rank-1]."""

import sys

from fastreid_projects.commands.table import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("results-table"))
