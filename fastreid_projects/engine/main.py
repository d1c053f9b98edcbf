"""The command line of ``tools/train_net.py``: the host's arguments, one sentence for a mistake."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fastreid.engine import default_argument_parser

from fastreid_projects.commands import one_sentence
from fastreid_projects.config import load_config
from fastreid_projects.engine.processes.launch import launch
from fastreid_projects.engine.run import run
from fastreid_projects.engine.seeds import SeedParser, add_seeds_argument, run_seeds


def argument_parser() -> argparse.ArgumentParser:
    """The host's arguments, ``--seeds`` and ``--debug``."""
    host_parser = default_argument_parser()
    parser = SeedParser(
        description="Train or evaluate any architecture of FastReID or of this project",
        parents=[host_parser],
        add_help=False,  # the host's
    )
    add_seeds_argument(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``train_net.py``; returns the exit code."""
    args = argument_parser().parse_args(argv)
    return one_sentence(lambda: launch(_work, args), debug=args.debug)


def _work(args: argparse.Namespace) -> None:
    if args.seeds:
        run_seeds(_run, args)
    else:
        _run(args)


def _run(args: argparse.Namespace) -> None:
    run(load_config(args.config_file, args.opts or []), args)
