"""Write a trained model as ONNX, and compare the file with the model."""

from __future__ import annotations

import argparse

from fastreid_projects.command_line.any_order import AnyOrderParser, add_config_arguments


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(description=__doc__)
    parser.add_argument(
        "--output",
        help="the ONNX file (default: OUTPUT_DIR/model.onnx); a .json file that describes it is written beside it",
    )
    add_config_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Export the model, and print how much the file differs from it."""
    import os

    from fastreid_projects.config import load_config
    from fastreid_projects.export import export

    cfg = load_config(args.config_file, args.opts)
    path = args.output or os.path.join(cfg.OUTPUT_DIR, "model.onnx")
    errors = export(cfg, path)["comparison"]["largest_error"]
    print(f"{path}: " + ", ".join(f"{error:.1e} off on {n} images" for n, error in errors.items()))
