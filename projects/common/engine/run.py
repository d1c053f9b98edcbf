"""A run from its config to its record: prepare, train or evaluate, write ``run.json``."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Any

from fastreid.utils import comm

from fastreid_projects import plugins
from fastreid_projects.engine.record import RunRecord
from fastreid_projects.engine.setup import setup_run
from fastreid_projects.engine.trained import load_trained
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError

logger = logging.getLogger("fastreid.projects.run")


def run(cfg: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Train (``--resume`` continues) or, with ``--eval-only``, evaluate ``MODEL.WEIGHTS``.

    Args:
        cfg: the merged config, not frozen.
        args: the parsed command line (``resume``, ``eval_only``).

    Returns:
        The metrics of the last evaluation; {} on all but the main process.
    """
    plugins.prepare(cfg)
    cfg = setup_run(cfg, args)
    record = RunRecord(cfg, " ".join(sys.argv))
    results = evaluate(cfg) if args.eval_only else train(cfg, args.resume)
    if comm.is_main_process():
        logger.info("Run record written to %s", record.finish(results))
    return results


def train(cfg: Any, resume: bool) -> dict[str, Any]:
    """Train to the end and return the metrics of the last evaluation."""
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    return dict(trainer.train() or {})


def evaluate(cfg: Any) -> dict[str, Any]:
    """Evaluate the weights that the config names.

    Raises:
        ConfigError: ``MODEL.WEIGHTS`` is empty.
    """
    if not cfg.MODEL.WEIGHTS:
        raise ConfigError("--eval-only needs MODEL.WEIGHTS, e.g. MODEL.WEIGHTS logs/my_run/model_final.pth")
    return dict(Trainer.test(cfg, load_trained(cfg)))
