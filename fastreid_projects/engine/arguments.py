"""The arguments of a run, which are parsed before anything slow is imported."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from fastreid_projects.command_line.any_order import AnyOrderParser

_FLAG = "--seeds"


def argument_parser() -> argparse.ArgumentParser:
    """Return a parser of the host's arguments, ``--seeds``, ``--show-config`` and ``--debug``."""
    parser = SeedParser(description="Train or evaluate any architecture of FastReID or of this project")
    _add_hosts_arguments(parser)
    add_seeds_argument(parser)
    parser.add_argument(
        "--show-config",
        nargs="?",
        const="changed",
        choices=("changed", "all"),
        help="print the merged config with the file and line of each value instead of training: only the keys that "
        "differ from their defaults, or all",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _add_hosts_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fastreid.engine.default_argument_parser``, whose import takes seconds."""
    parser.add_argument("--config-file", default="", metavar="FILE", help="path or name of a config")
    parser.add_argument(
        "--resume", action="store_true", help="continue from the last checkpoint in OUTPUT_DIR"
    )
    parser.add_argument("--eval-only", action="store_true", help="only evaluate MODEL.WEIGHTS")
    parser.add_argument(
        "--num-gpus", type=int, default=1, help="number of processes on each machine, each with its GPU"
    )
    parser.add_argument("--num-machines", type=int, default=1, help="number of machines")
    parser.add_argument("--machine-rank", type=int, default=0, help="rank of this machine, from 0")
    parser.add_argument("--dist-url", default=default_url(), help="URL at which all processes meet")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that override the config")


def default_url() -> str:
    """Return the URL at which processes meet on one machine; each user has a port, as in engine/defaults.py:58."""
    user = os.getuid() if sys.platform != "win32" else 1
    return f"tcp://127.0.0.1:{2**15 + 2**14 + hash(user) % 2**14}"


class SeedParser(AnyOrderParser):
    """Parse ``--seeds 0 1 2`` as numbers only, without the ``KEY VALUE`` pairs that follow them."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments as argparse does."""
        return super().parse_known_args(_join_seeds(sys.argv[1:] if args is None else args), namespace)


def add_seeds_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--seeds``; the parser has to be a :class:`SeedParser`."""
    parser.add_argument(
        _FLAG,
        type=_seeds,
        metavar="N [N ...]",
        help="run once for each SEED into OUTPUT_DIR/seed_N, then write the mean and standard deviation of the "
        "metrics to OUTPUT_DIR/seeds.md and seeds.json",
    )


def _join_seeds(args: Sequence[str]) -> list[str]:
    """Turn ``--seeds 0 1 KEY VALUE`` into ``--seeds=0,1 KEY VALUE``, as argparse would take KEY for a seed."""
    words = list(args)
    if _FLAG not in words:
        return words
    start = words.index(_FLAG)
    end = start + 1
    while end < len(words) and re.fullmatch(r"-?\d+", words[end]):
        end += 1
    return [f"{_FLAG}={','.join(words[start + 1 : end])}", *words[:start], *words[end:]]


def _seeds(text: str) -> list[int]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise argparse.ArgumentTypeError("name one seed or more, 0 or above, e.g. --seeds 0 1 2")
    from fastreid_projects.config.ranges import MAX_SEED

    seeds = [int(word) for word in text.split(",")]
    if max(seeds) > MAX_SEED:
        raise argparse.ArgumentTypeError(f"{max(seeds)} is too large: a seed has to be at most {MAX_SEED}")
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError("a seed is named twice: name each seed once, equal runs add nothing")
    return seeds
