"""Write a clean file of a model's weights, which may come from another project."""

from __future__ import annotations

import argparse

from fastreid_projects.command_line.any_order import AnyOrderParser, add_config_arguments


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(description=__doc__)
    parser.add_argument("--weights", default="", help="the checkpoint (default: MODEL.WEIGHTS)")
    parser.add_argument("--output", required=True, help="a .pth or .safetensors file")
    add_config_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Convert the weights, and print how many match."""
    from fastreid_projects.config import load_config
    from fastreid_projects.convert import convert
    from fastreid_projects.engine.load_model import run_config

    weights = ["MODEL.WEIGHTS", args.weights] if args.weights else []
    cfg = load_config(run_config(args.config_file), [*args.opts, *weights])
    print(convert(cfg, args.output).table())
    print(args.output)
