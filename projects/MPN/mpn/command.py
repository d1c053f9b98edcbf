"""Show where MPN looks for each body part."""

from __future__ import annotations

import argparse

from fastreid_projects.command_line.any_order import AnyOrderParser, add_config_arguments


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = AnyOrderParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", help="a registered dataset below FASTREID_DATASETS")
    source.add_argument("--images", help="a folder of images")
    parser.add_argument(
        "--splits", nargs="+", default=["query"], help="splits of the dataset: train, query, gallery"
    )
    parser.add_argument("--pictures", type=int, default=24, help="number of images to draw")
    parser.add_argument(
        "--score",
        choices=("identity", "feature"),
        default="identity",
        help="what to explain: the identity that a part predicts, or the strength of its feature",
    )
    parser.add_argument("--output", default="logs/part_maps", help="folder for the PNG files")
    add_config_arguments(parser, "an MPN")
    return parser


def run(args: argparse.Namespace) -> None:
    """Write the pictures; print where the attention of the parts lies, if the images have masks."""
    from fastreid_projects.config import load_config

    from .part_maps import write_part_maps
    from .priors.make_priors import dataset_images, folder_images

    cfg = load_config(args.config_file, args.opts)
    images = dataset_images(args.dataset, args.splits) if args.dataset else folder_images(args.images)
    files, shares = write_part_maps(cfg, images, args.output, pictures=args.pictures, score=args.score)
    print(f"{len(files)} pictures in {args.output}")
    if shares is not None:
        print(f"attention by band of the body, in per cent, over {shares.images} images:\n{shares.table()}")
