"""Make masks of body parts for a dataset or a folder."""

from __future__ import annotations

import argparse

from fastreid_projects import interrupts

from ..providers.base import PROVIDERS, provider_class

SPLITS = ("train", "query", "gallery")


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser, with a subcommand for each provider."""
    built = argparse.ArgumentParser(description=__doc__)
    commands = built.add_subparsers(dest="provider", required=True, metavar="|".join(PROVIDERS))
    for name in PROVIDERS:
        cls = provider_class(name)
        command = commands.add_parser(name, help=(cls.__doc__ or "").split("\n")[0])
        source = command.add_mutually_exclusive_group(required=True)
        source.add_argument("--dataset", help="a registered dataset below FASTREID_DATASETS")
        source.add_argument("--images", help="a folder of images")
        command.add_argument(
            "--splits", nargs="+", default=["train"], help=f"splits of the dataset: {', '.join(SPLITS)}"
        )
        command.add_argument(
            "--folder",
            default="part_masks",
            help="folder of the masks: a name beside the image folders, or a path",
        )
        command.add_argument("--workers", type=int, help="number of processes (default: number of cores)")
        command.add_argument("--overwrite", action="store_true", help="replace masks that exist")
        command.add_argument(
            "--contact-sheet", metavar="PNG", help="also write a sheet that shows what was found"
        )
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        cls.add_arguments(command)
    return built


@interrupts.heeded(resumes=False)
def run(args: argparse.Namespace) -> None:
    """Make the masks, and print the summary."""
    from fastreid_projects.plugins import register_all

    from .make_priors import check_sheet, contact_sheet, dataset_images, folder_images, make_priors

    register_all()
    images = dataset_images(args.dataset, args.splits) if args.dataset else folder_images(args.images)
    if args.contact_sheet:
        check_sheet(args.contact_sheet, images, args.folder)
    summary = make_priors(
        images,
        args.provider,
        vars(args),
        folder=args.folder,
        workers=args.workers,
        overwrite=args.overwrite,
    )
    print(summary)
    if args.contact_sheet:
        print(f"contact sheet: {contact_sheet(images, args.folder, args.contact_sheet)}")
