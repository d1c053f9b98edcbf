"""Runs of one config with several seeds, and the mean and standard deviation of their metrics."""

from __future__ import annotations

import argparse
import copy
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastreid.utils import comm

from fastreid_projects.config import load_config
from fastreid_projects.engine.trainer import final_weights
from fastreid_projects.errors import ConfigError
from fastreid_projects.files import write_aside
from fastreid_projects.records.record import write_record
from fastreid_projects.records.tables import markdown_table, read_record, spread

logger = logging.getLogger("fastreid.projects.seeds")


def run_seeds(once: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> None:
    """Call ``once`` for each of ``args.seeds`` with its own SEED and OUTPUT_DIR, then write the table.

    All seeds share one process group, because the host never gives up the first one (utils/comm.py:81).

    With ``--eval-only`` and without MODEL.WEIGHTS, the last weights of each seed are evaluated. With ``--resume``,
    interrupted runs continue and finished ones are only evaluated.

    Args:
        once: performs one run, as without ``--seeds``, and writes its run record.
        args: the parsed command line.
    """
    cfg = load_config(args.config_file, args.opts or [])
    if not cfg.OUTPUT_DIR:
        raise ConfigError("OUTPUT_DIR is empty; name the folder that is to hold the runs of all seeds")
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
        output_dir: the folder to write to.
        folders: seed -> the folder of its run.

    Returns:
        The table: a row for each seed, then mean ± standard deviation (of a sample, n - 1).
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
