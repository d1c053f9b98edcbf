"""Write a trained model as ONNX, and compare the file with the model."""

from __future__ import annotations

import argparse

from fastreid_projects.command_line.any_order import AnyOrderParser, add_model_arguments


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(description=__doc__)
    parser.add_argument(
        "--output",
        help="the ONNX file (default: model.onnx in OUTPUT_DIR or the run's folder); a .json file that describes it is "
        "written beside it",
    )
    add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Export the model, and print how much the file differs from it."""
    import os

    from fastreid_projects.engine.load_model import trained_config
    from fastreid_projects.export import export

    cfg = trained_config(args.config_file, args.weights, args.opts)
    folder = args.config_file if os.path.isdir(args.config_file) else cfg.OUTPUT_DIR
    path = args.output or os.path.join(folder, "model.onnx")
    errors = export(cfg, path)["comparison"]["largest_error"]
    print(f"{path}: " + ", ".join(f"{error:.1e} off on {n} images" for n, error in errors.items()))
