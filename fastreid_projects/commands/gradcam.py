"""Grad-CAM of images, or of the similarity of two."""

from __future__ import annotations

import argparse

from fastreid_projects.command_line.any_order import AnyOrderParser, add_model_arguments
from fastreid_projects.errors import ConfigError


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(description=__doc__)
    parser.add_argument("--images", nargs="+", required=True, help="pictures of persons")
    parser.add_argument("--pair", action="store_true", help="show where the two images are alike")
    parser.add_argument("--layer", default="", help="dotted name of a module (default: the last maps)")
    parser.add_argument(
        "--branches",
        action="store_true",
        help="show what each branch of the model looks at: an HTML page, and a PNG for each image",
    )
    parser.add_argument(
        "--beside",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "CONFIG", "WEIGHTS"),
        help="with --branches: another model to show first",
    )
    parser.add_argument("--output", default="logs/gradcam", help="folder for the PNG files")
    add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Write the pictures and print their paths."""
    if args.pair and args.branches:
        raise ConfigError("--pair and --branches contradict each other: leave one of them out")
    if args.beside and not args.branches:
        raise ConfigError("--beside shows another model's branches: it needs --branches")
    from fastreid_projects.engine.load_model import named_configs, trained_config
    from fastreid_projects.visualization.gradcam_files import write_gradcam
    from fastreid_projects.visualization.saliency import write_saliency

    cfg = trained_config(args.config_file, args.weights, args.opts)
    if args.branches:
        own = cfg.MODEL.META_ARCHITECTURE
        models = named_configs("--beside", args.beside, taken=[own])
        paths = write_saliency({**models, own: cfg}, args.images, args.output)
    else:
        paths = write_gradcam(cfg, args.images, args.output, pair=args.pair, layer=args.layer)
    for path in paths:
        print(path)
