"""Grad-CAM of images, or of the similarity of two: python tools/gradcam.py --config-file X.yml --images A.jpg."""

import fastreid_projects.required  # noqa: F401  (mends the host before anything of it is imported)

# isort: split
import argparse
import sys
from collections.abc import Sequence

from fastreid_projects.commands import one_sentence
from fastreid_projects.config import load_config
from fastreid_projects.engine.load_model import named_configs
from fastreid_projects.errors import ConfigError
from fastreid_projects.visualization.gradcam_files import write_gradcam
from fastreid_projects.visualization.saliency import write_saliency


def argument_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config-file", required=True, help="yaml of the model, or the config.yaml of its run"
    )
    parser.add_argument("--images", nargs="+", required=True, help="pictures of persons")
    parser.add_argument("--pair", action="store_true", help="where the two images are alike")
    parser.add_argument("--layer", default="", help="dotted name of a module (default: the last maps)")
    parser.add_argument(
        "--branches",
        action="store_true",
        help="of each branch's part of the feature: an HTML file and a PNG an image",
    )
    parser.add_argument(
        "--beside",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "CONFIG", "WEIGHTS"),
        help="with --branches: another model to show first",
    )
    parser.add_argument("--output", default="logs/gradcam", help="folder for the PNGs")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs, MODEL.WEIGHTS among them")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pictures and print their paths."""
    args = argument_parser().parse_intermixed_args(argv)

    def work() -> None:
        if args.pair and args.branches:
            raise ConfigError("--pair and --branches contradict each other: leave one of them out")
        if args.beside and not args.branches:
            raise ConfigError("--beside shows another model's branches: it needs --branches")
        cfg = load_config(args.config_file, args.opts)
        if args.branches:
            own = cfg.MODEL.META_ARCHITECTURE
            models = named_configs("--beside", args.beside, taken=[own])
            paths = write_saliency({**models, own: cfg}, args.images, args.output)
        else:
            paths = write_gradcam(cfg, args.images, args.output, pair=args.pair, layer=args.layer)
        for path in paths:
            print(path)

    return one_sentence(work, debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
