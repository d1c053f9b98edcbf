"""A Markdown table from run records: python tools/results_table.py logs/a logs/b [--metrics mAP Rank-1]."""

import fastreid_projects.required  # noqa: F401  (mends the host before anything of it is imported)

# isort: split
import argparse
import sys
from collections.abc import Sequence

from fastreid_projects.commands import one_sentence
from fastreid_projects.records.tables import markdown_table, read_runs


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "runs",
        nargs="+",
        help="NAME=OUTPUT_DIR, or OUTPUT_DIR, of finished runs (of all --seeds: mean ± std)",
    )
    parser.add_argument("--metrics", nargs="*", default=(), help="which metrics, in which order")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)

    def work() -> None:
        pairs = [run.split("=", 1) if "=" in run else (run, run) for run in args.runs]
        print(markdown_table([(name, read_runs(path)) for name, path in pairs], args.metrics))

    return one_sentence(work, debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
