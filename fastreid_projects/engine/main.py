"""The command that trains and evaluates: from its arguments to a run in one or several processes."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import Any

from fastreid_projects.command_line.one_sentence import one_sentence
from fastreid_projects.config import load_config
from fastreid_projects.config.finding import find_config
from fastreid_projects.config.plugin_names import PLUGINS, plugin_opts
from fastreid_projects.config.reading import load_with_sources
from fastreid_projects.config.show import show_config
from fastreid_projects.engine.arguments import argument_parser
from fastreid_projects.engine.processes.launch import launch
from fastreid_projects.engine.run import run
from fastreid_projects.engine.seeds import run_seeds
from fastreid_projects.engine.stages import build_stages


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``train_net.py`` and return the exit code."""
    args = argument_parser().parse_args(argv)
    return one_sentence(lambda: run_arguments(args), debug=args.debug)


def run_arguments(args: argparse.Namespace) -> None:
    """Do what the parsed arguments say; a config may be given by its bare name."""
    if args.config_file:
        args.config_file = find_config(args.config_file)  # the host opens it by this path
    if args.show_config:
        print(_shown(args))
    else:
        launch(_work, args)


def _shown(args: argparse.Namespace) -> str:
    """Return the config of the run as YAML; the config of a stage that has its own follows as a comment."""
    cfg, sources = load_with_sources(args.config_file, args.opts or [])
    stages, everything = build_stages(cfg), args.show_config == "all"
    text = show_config(
        cfg, sources, _defaults(cfg), title=args.config_file or "defaults", everything=everything
    )
    for stage in stages:
        if stage.config_file:
            title = f"Stage {stage.name} trains {stage.config_file}"
            own = show_config(
                stage.cfg, stage.sources, _defaults(stage.cfg), title=title, everything=everything
            )
            head, _, body = own.partition("\n")
            text += f"\n\n{head}\n{textwrap.indent(body, '# ')}"
    return text


def _defaults(cfg: Any) -> Any:
    """Return the default config, with the keys of the same plug-ins."""
    defaults = load_config("", plugin_opts(cfg))
    defaults[PLUGINS] = []
    return defaults


def _work(args: argparse.Namespace) -> None:
    if args.seeds:
        run_seeds(_run, args)
    else:
        _run(args)


def _run(args: argparse.Namespace) -> None:
    run(load_config(args.config_file, args.opts or []), args)
