"""Check a folder of your own pictures for DATASETS.NAMES "('FolderReID',)", and your own attributes."""

from __future__ import annotations

import argparse
from pathlib import Path


def argument_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder",
        help="a folder with labels.csv, or with the folders train, query and gallery; or an attributes.yaml for "
        "another dataset",
    )
    parser.add_argument("--same-camera", action="store_true", help="check for TEST.SAME_CAMERA True")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def run(args: argparse.Namespace) -> None:
    """Check every row, every picture and every attribute, and that the queries can be ranked."""
    from fastreid_projects.data.folder import check

    check(Path(args.folder), args.same_camera)
