"""Train or evaluate any architecture of FastReID or of this project."""

from __future__ import annotations

import argparse

from fastreid_projects.engine.arguments import argument_parser as train_parser


def argument_parser() -> argparse.ArgumentParser:
    """Return the parser of FastReID's arguments, ``--seeds``, ``--show-config`` and ``--debug``."""
    return train_parser()


def prepare() -> None:
    """Import what takes seconds, while there is nothing to save yet."""
    import fastreid_projects.engine.main  # noqa: F401


def run(args: argparse.Namespace) -> None:
    """Train, evaluate, or show the config."""
    from fastreid_projects.engine.main import run_arguments

    run_arguments(args)
