"""Count how often each attribute occurs in a dataset (fig. 3 and 5 of AMD), and draw the counts as bars."""

from __future__ import annotations

import argparse

from fastreid_projects.command_line.any_order import AnyOrderParser


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="a registered dataset with attributes")
    parser.add_argument(
        "--output",
        default="",
        help="path of the two output files without .csv and .png; by default logs/attributes_<dataset>",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def run(args: argparse.Namespace) -> None:
    """Count, draw, and print the paths of the files."""
    from fastreid_projects.plugins import register_all

    from .statistics import attribute_statistics, write_statistics

    register_all()
    attribute_set, parts = attribute_statistics(args.dataset)
    stem = args.output or f"logs/attributes_{args.dataset.lower()}"
    paths = write_statistics(stem, args.dataset, attribute_set, parts)
    for part in parts:
        if part.unlabelled:
            print(f"{part.name}: {part.unlabelled} images of persons without attributes are not counted")
    print("\n".join(map(str, paths)))
