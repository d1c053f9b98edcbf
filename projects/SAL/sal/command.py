"""Show the attention of the stages of several models side by side."""

from __future__ import annotations

import argparse

from fastreid_projects.command_line.any_order import AnyOrderParser


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(description=__doc__)
    parser.add_argument(
        "--model",
        nargs=3,
        action="append",
        required=True,
        metavar=("NAME", "CONFIG", "WEIGHTS"),
        help="a model to show; repeat it for one with and one without the constraint",
    )
    parser.add_argument("--images", nargs="+", default=[], help="pictures (default: queries of the test set)")
    parser.add_argument("--count", type=int, default=6, help="number of queries")
    parser.add_argument("--output", default="logs/attention.png", help="file for the picture")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def run(args: argparse.Namespace) -> None:
    """Write the picture; print its path and the difference of each model's stages (L_sac)."""
    from fastreid_projects.engine.load_model import named_configs

    from .attention import write_attention

    models = named_configs("--model", args.model)
    path, constraints = write_attention(models, args.output, args.images, args.count)
    for name, value in constraints.items():
        print(f"{name}: L_sac {value:.4f}")
    print(path)
