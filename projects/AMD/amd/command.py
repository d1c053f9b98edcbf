"""Explain why images are near or far."""

from __future__ import annotations

import argparse

from fastreid_projects.command_line.any_order import AnyOrderParser

TOP_K = 10


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(
        description="Explain why a model puts two images near or far: where in the images the distance comes from, "
        "split by attribute with an interpreter (AMD), or as a whole with any other model",
        epilog="--query and --gallery each take an image, a folder or a registered dataset. Trailing KEY VALUE pairs "
        "override the config.",
    )
    parser.add_argument(
        "--config-file",
        required=True,
        help="config of the interpreter or of another model, or the folder of its run",
    )
    parser.add_argument("--weights", default="", help="checkpoint; by default model_final.pth in OUTPUT_DIR")
    parser.add_argument("--query", default="", help="default: the queries of the config's first test set")
    parser.add_argument("--gallery", default="", help="default: the gallery of the query's dataset")
    parser.add_argument(
        "--top-k",
        type=int,
        help=f"gallery images to find and explain for each query; default: {TOP_K}, or all if there are fewer",
    )
    parser.add_argument(
        "--queries",
        type=int,
        default=9,
        help="number of queries to show: the best, the worst and random ones",
    )
    parser.add_argument("--attributes", type=int, default=4, help="attributes drawn for each pair")
    parser.add_argument("--average-maps", action="store_true", help="also show mean maps of each attribute")
    parser.add_argument(
        "--maps",
        choices=("contributions", "attention"),
        default="contributions",
        help="what the map of an attribute shows: where its contribution comes from, or the interpreter's attention",
    )
    parser.add_argument(
        "--index-type", choices=("flat", "ivfpq"), default="flat", help="ivfpq for very large galleries"
    )
    parser.add_argument(
        "--index", default="", help="file for the gallery's features; by default in OUTPUT_DIR/index"
    )
    parser.add_argument("--output", default="", help="folder for the report; by default OUTPUT_DIR/explain")
    parser.add_argument("--seed", type=int, default=0, help="seed that chooses the random queries")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("opts", nargs="*", help="config keys and their values, e.g. MODEL.DEVICE cpu")
    return parser


def run(args: argparse.Namespace) -> None:
    """Search, explain, write the report."""
    from .explain.command import explain

    explain(args)
