"""Print a Markdown table from run records."""

from __future__ import annotations

import argparse


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "runs",
        nargs="+",
        help="NAME=OUTPUT_DIR, or OUTPUT_DIR, of finished runs (with all --seeds: mean ± std)",
    )
    parser.add_argument("--metrics", nargs="*", default=(), help="the metrics to show, in this order")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def run(args: argparse.Namespace) -> None:
    """Print the table."""
    from fastreid_projects.records.tables import markdown_table, read_runs

    pairs = [run.split("=", 1) if "=" in run else (run, run) for run in args.runs]
    print(markdown_table([(name, read_runs(path)) for name, path in pairs], args.metrics))
