"""Write the features of pictures, with the names of the pictures."""

from __future__ import annotations

import argparse

from fastreid_projects.command_line.any_order import AnyOrderParser, add_model_arguments


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(
        description=__doc__, epilog="If a command was interrupted, the same command resumes where it stopped."
    )
    parser.add_argument(
        "--images",
        nargs="+",
        required=True,
        help="pictures, folders, tables of your own pictures, or registered datasets",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=("train", "query", "gallery"),
        default=["query", "gallery"],
        help="which pictures of a table or a dataset (default: query and gallery)",
    )
    parser.add_argument("--output", default="features.npy", help="the .npy file, beside a .csv and a .json")
    add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Extract the features, and print what was written."""
    from fastreid_projects.data.feature_file import check_npy
    from fastreid_projects.data.sources import read_source
    from fastreid_projects.engine.load_model import trained_config
    from fastreid_projects.extractor import Extractor

    check_npy(args.output)
    cfg = trained_config(args.config_file, args.weights, args.opts)
    pictures = [picture for source in args.images for picture in read_source(source, *args.parts)]
    extractor = Extractor.of(cfg)
    found = extractor.extract(pictures, args.output)
    count, size = found.features.shape
    features = "1 feature" if count == 1 else f"{count} features"
    print(f"{args.output}: {features} of {size} numbers; the .csv beside it names the pictures")
