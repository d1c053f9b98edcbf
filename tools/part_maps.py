"""Grad-CAM of each body part: python tools/part_maps.py --config-file X.yml --dataset DemoReID MODEL.WEIGHTS W.pth."""

import fastreid_projects.required  # noqa: F401  (mends the host before anything of it is imported)

# isort: split
import argparse
import sys
from collections.abc import Sequence

from fastreid_projects.commands import one_sentence
from fastreid_projects.config import load_config
from fastreid_projects.mpn.part_maps import write_part_maps
from fastreid_projects.mpn.priors.make_priors import SPLITS, dataset_images, folder_images


def argument_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config-file", required=True, help="yaml of an MPN, or the config.yaml of its run")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", help="a registered dataset below FASTREID_DATASETS")
    source.add_argument("--images", help="a folder of images")
    parser.add_argument("--splits", nargs="+", default=["query"], help=f"of the dataset: {', '.join(SPLITS)}")
    parser.add_argument("--pictures", type=int, default=24, help="how many images are drawn")
    parser.add_argument("--output", default="logs/part_maps", help="folder for the PNGs")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs, MODEL.WEIGHTS among them")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pictures; print where the parts' attention lies, if the images have masks."""
    args = argument_parser().parse_intermixed_args(argv)

    def work() -> None:
        cfg = load_config(args.config_file, args.opts)
        images = dataset_images(args.dataset, args.splits) if args.dataset else folder_images(args.images)
        files, shares = write_part_maps(cfg, images, args.output, pictures=args.pictures)
        print(f"{len(files)} pictures in {args.output}")
        if shares is not None:
            print(f"attention by band of the body, per cent, {shares.images} images:\n{shares.table()}")

    return one_sentence(work, debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
