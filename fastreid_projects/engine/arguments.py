"""The arguments of a training; read before anything slow is imported."""

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
    """The host's arguments, ``--seeds`` and ``--debug``."""
    parser = SeedParser(description="Train or evaluate any architecture of FastReID or of this project")
    _add_hosts_arguments(parser)
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


def _add_hosts_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``fastreid.engine.default_argument_parser`` has, which takes seconds to import."""
    parser.add_argument("--config-file", default="", metavar="FILE", help="path or name of a config")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in OUTPUT_DIR")
    parser.add_argument("--eval-only", action="store_true", help="only evaluate MODEL.WEIGHTS")
    parser.add_argument(
        "--num-gpus", type=int, default=1, help="processes on each machine, each with its GPU"
    )
    parser.add_argument("--num-machines", type=int, default=1, help="how many machines take part")
    parser.add_argument("--machine-rank", type=int, default=0, help="the number of this machine, from 0")
    parser.add_argument("--dist-url", default=default_url(), help="where all processes meet")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that override the config")


def default_url() -> str:
    """Where processes meet on one machine: a port of each user's own, as in the host (engine/defaults.py:58)."""
    user = os.getuid() if sys.platform != "win32" else 1
    return f"tcp://127.0.0.1:{2**15 + 2**14 + hash(user) % 2**14}"


class SeedParser(AnyOrderParser):
    """A parser that takes only numbers for ``--seeds 0 1 2``, not the ``KEY VALUE`` pairs behind them."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read the arguments; see argparse."""
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
    """``--seeds 0 1 KEY VALUE`` -> ``--seeds=0,1 KEY VALUE``: argparse would take KEY for a seed."""
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
        raise argparse.ArgumentTypeError("each seed has to be named once: two equal runs say nothing new")
    return seeds
