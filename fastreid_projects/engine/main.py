"""The command line of ``tools/train_net.py``: the host's arguments, one sentence for a mistake."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from fastreid.engine import default_argument_parser

from fastreid_projects.commands import one_sentence
from fastreid_projects.config import load_config
from fastreid_projects.config.reading import load_with_sources
from fastreid_projects.config.show import show_config
from fastreid_projects.engine.processes.launch import launch
from fastreid_projects.engine.run import run
from fastreid_projects.engine.seeds import SeedParser, add_seeds_argument, run_seeds
from fastreid_projects.engine.stages import build_stages


def argument_parser() -> argparse.ArgumentParser:
    """The host's arguments, ``--seeds``, ``--show-config`` and ``--debug``."""
    host_parser = default_argument_parser()
    parser = SeedParser(
        description="Train or evaluate any architecture of FastReID or of this project",
        parents=[host_parser],
        add_help=False,  # the host's
    )
    add_seeds_argument(parser)
    parser.add_argument(
        "--show-config",
        nargs="?",
        const="changed",
        choices=("changed", "all"),
        help="print the merged config with the file and line of each value, and train nothing: the keys that differ "
        "from their defaults, or all",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``train_net.py``; returns the exit code."""
    args = argument_parser().parse_args(argv)
    if args.show_config:
        return one_sentence(lambda: print(_shown(args)), debug=args.debug)
    return one_sentence(lambda: launch(_work, args), debug=args.debug)


def _shown(args: argparse.Namespace) -> str:
    """The run's config as YAML; that of a stage with a config of its own follows as a comment."""
    cfg, sources = load_with_sources(args.config_file, args.opts or [])
    stages, defaults, everything = build_stages(cfg), load_config(), args.show_config == "all"
    text = show_config(cfg, sources, defaults, title=args.config_file or "defaults", everything=everything)
    for stage in stages:
        if stage.config_file:
            title = f"Stage {stage.name} trains {stage.config_file}"
            own = show_config(stage.cfg, stage.sources, defaults, title=title, everything=everything)
            head, _, body = own.partition("\n")
            text += f"\n\n{head}\n{textwrap.indent(body, '# ')}"
    return text


def _work(args: argparse.Namespace) -> None:
    if args.seeds:
        run_seeds(_run, args)
    else:
        _run(args)


def _run(args: argparse.Namespace) -> None:
    run(load_config(args.config_file, args.opts or []), args)
