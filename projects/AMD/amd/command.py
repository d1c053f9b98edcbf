"""Explain why images are near or far."""

from __future__ import annotations

import argparse

from fastreid_projects.command_line.any_order import AnyOrderParser

TOP_K = 10


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(
        description="Explain why two images are near or far: where the distance comes from, attribute by attribute "
        "with an interpreter (AMD), as a whole with any other model",
        epilog="Images, folders and registered datasets may be named. Trailing KEY VALUE pairs override the config.",
    )
    parser.add_argument(
        "--config-file",
        required=True,
        help="the interpreter's or another model's yaml, or the folder of its run",
    )
    parser.add_argument(
        "--weights", default="", help="its checkpoint; by default model_final.pth of OUTPUT_DIR"
    )
    parser.add_argument("--query", default="", help="by default the query set of the config's first test set")
    parser.add_argument("--gallery", default="", help="by default the gallery of the query's dataset")
    parser.add_argument(
        "--top-k",
        type=int,
        help=f"gallery images to find and explain for a query; by default {TOP_K} or all",
    )
    parser.add_argument("--queries", type=int, default=9, help="queries to show: best, worst and random ones")
    parser.add_argument("--attributes", type=int, default=4, help="attributes drawn a pair")
    parser.add_argument("--average-maps", action="store_true", help="mean maps of each attribute, too")
    parser.add_argument(
        "--maps",
        choices=("contributions", "attention"),
        default="contributions",
        help="what is shown of an attribute: where its contribution comes from, or the interpreter's attention",
    )
    parser.add_argument(
        "--index-type", choices=("flat", "ivfpq"), default="flat", help="ivfpq for very large galleries"
    )
    parser.add_argument("--index", default="", help="where the gallery's features are kept; OUTPUT_DIR/index")
    parser.add_argument("--output", default="", help="folder to write; by default OUTPUT_DIR/explain")
    parser.add_argument("--seed", type=int, default=0, help="of the random queries")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("opts", nargs="*", help="KEY VALUE ...")
    return parser


def run(args: argparse.Namespace) -> None:
    """Search, explain, write the report."""
    from .explain.command import explain

    explain(args)
