"""A Markdown table from run records: python tools/results_table.py logs/a logs/b [--metrics mAP Rank-1]."""

import argparse
import sys

from fastreid_projects.engine.tables import markdown_table, read_runs
from fastreid_projects.errors import UserError

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "runs",
        nargs="+",
        help="NAME=OUTPUT_DIR, or OUTPUT_DIR, of finished runs (of all --seeds: mean ± std)",
    )
    parser.add_argument("--metrics", nargs="*", default=(), help="which metrics, in which order")
    args = parser.parse_args()
    pairs = [run.split("=", 1) if "=" in run else (run, run) for run in args.runs]
    try:
        print(markdown_table([(name, read_runs(path)) for name, path in pairs], args.metrics))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
