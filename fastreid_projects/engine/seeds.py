"""One config with several seeds, and the mean and standard deviation of what comes out."""

from __future__ import annotations

import argparse
import copy
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastreid.utils import comm

from fastreid_projects.commands import AnyOrderParser
from fastreid_projects.config import load_config
from fastreid_projects.config.ranges import MAX_SEED
from fastreid_projects.engine.trainer import final_weights
from fastreid_projects.errors import ConfigError
from fastreid_projects.files import write_aside
from fastreid_projects.records.record import write_record
from fastreid_projects.records.tables import markdown_table, read_record, spread

logger = logging.getLogger("fastreid.projects.seeds")

_FLAG = "--seeds"


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
    seeds = [int(word) for word in text.split(",")]
    if max(seeds) > MAX_SEED:
        raise argparse.ArgumentTypeError(f"{max(seeds)} is too large: a seed has to be at most {MAX_SEED}")
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError("each seed has to be named once: two equal runs say nothing new")
    return seeds


def run_seeds(once: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> None:
    """Call ``once`` for each of ``args.seeds`` with its own SEED and OUTPUT_DIR, then write the table.

    All seeds share one process group: the host keeps the first for good (utils/comm.py:81).

    With ``--eval-only`` and no MODEL.WEIGHTS each seed's own last weights are evaluated; with ``--resume``
    interrupted runs go on and finished ones are only evaluated.

    Args:
        once: one run, as without ``--seeds``; it writes its run record.
        args: the command line.
    """
    cfg = load_config(args.config_file, args.opts or [])
    if not cfg.OUTPUT_DIR:
        raise ConfigError("OUTPUT_DIR is empty; name the folder for the runs of all seeds")
    folders = {seed: os.path.join(cfg.OUTPUT_DIR, f"seed_{seed}") for seed in args.seeds}
    for seed, folder in folders.items():
        own = copy.copy(args)
        own.seeds = None
        own.opts = [*(args.opts or []), "SEED", str(seed), "OUTPUT_DIR", folder]
        if args.eval_only and not cfg.MODEL.WEIGHTS:
            own.opts += ["MODEL.WEIGHTS", final_weights(folder)]
        once(own)
    if comm.is_main_process():
        print(write_table(cfg.OUTPUT_DIR, folders))


def write_table(output_dir: str, folders: dict[int, str]) -> str:
    """Write ``seeds.md`` and ``seeds.json`` from the run records of all seeds.

    Args:
        output_dir: where to.
        folders: seed -> the folder of its run.

    Returns:
        The table: a row for each seed, then mean ± standard deviation (of the sample, n - 1).
    """
    records = {seed: read_record(folder) for seed, folder in folders.items()}
    rows: list[Any] = [(f"seed {seed}", record) for seed, record in records.items()]
    table = markdown_table([*rows, (f"mean ± std of {len(rows)}", list(records.values()))])
    summary = {
        "seeds": list(records),
        "runs": {seed: os.path.basename(folder) for seed, folder in folders.items()},
        "metrics": {
            name: {"mean": mean, "std": std} for name, (mean, std) in spread(list(records.values())).items()
        },
    }
    write_record(Path(output_dir) / "seeds.json", summary)
    write_aside(Path(output_dir) / "seeds.md", (table + "\n").encode())
    return table
