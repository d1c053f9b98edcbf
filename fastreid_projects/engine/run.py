"""A run from its config to its record: train the stages or evaluate, then write ``run.json``."""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastreid.utils import comm

from fastreid_projects import interrupts
from fastreid_projects.command_line.pasteable import pasteable
from fastreid_projects.data.datasets import trained_tests
from fastreid_projects.engine.load_model import load_trained
from fastreid_projects.engine.processes.agreement import main_value, require_same
from fastreid_projects.engine.same_config import config_there, differences
from fastreid_projects.engine.setup import setup_run
from fastreid_projects.engine.stages import (
    Stage,
    build_stages,
    check_stages,
    forget,
    hand_over,
    is_finished,
    untaken,
)
from fastreid_projects.engine.trainer import Trainer, final_weights
from fastreid_projects.errors import ConfigError, DataError
from fastreid_projects.evaluation.counts import Results
from fastreid_projects.files import full_disk_in_a_sentence
from fastreid_projects.records.record import RunRecord, training_facts

logger = logging.getLogger("fastreid.projects.run")


def run(cfg: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Train or, with ``--eval-only``, evaluate ``MODEL.WEIGHTS``; ``--resume`` continues an interrupted run.

    The stages of a config with STAGES are trained one after the other. ``--resume`` continues in the stage that was
    interrupted, and ``--eval-only`` evaluates the model of the last stage.

    Args:
        cfg: the merged config, not frozen.
        args: the parsed command line (``resume``, ``eval_only``, and ``opts`` if there are any).

    Returns:
        The metrics of the last evaluation; {} on all processes but the main one.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM ended the run; a checkpoint is saved, and the message says how to resume.
    """
    *earlier, last = build_stages(cfg)
    with full_disk_in_a_sentence(last.cfg.OUTPUT_DIR):
        if args.eval_only:
            _check_evaluation(last.cfg)
            with interrupts.heeded(resumes=False):
                return _run_one(last.cfg, args, resume=False)
        for sentence in untaken(earlier, vars(args).get("opts") or []):
            logger.warning("%s", sentence)
        *earlier, last = check_stages((*earlier, last))
        with interrupts.heeded():
            return _train_stages(earlier, last, args)


def _train_stages(earlier: Sequence[Stage], last: Stage, args: argparse.Namespace) -> dict[str, Any]:
    if earlier and not args.resume:
        for stage in (*earlier, last):
            if not stage.reuse:
                forget(stage.cfg.OUTPUT_DIR)
    for done, stage in itertools.pairwise((*earlier, last)):
        _train_stage(done, args)
        hand_over(done, stage)
    return _run_one(last.cfg, args, args.resume or last.reuse, earlier)


def _train_stage(stage: Stage, args: argparse.Namespace) -> None:
    """Train a stage before the last one, unless it is finished."""
    folder = stage.cfg.OUTPUT_DIR
    if (args.resume or stage.reuse) and main_value(is_finished(folder)):
        logger.info("Stage %s is finished: its weights are %s", stage.name, final_weights(folder))
        _warn_of_differences(stage)
        return
    _run_one(stage.cfg, args, args.resume or stage.reuse)
    comm.synchronize()


def _warn_of_differences(stage: Stage) -> None:
    """Warn if a finished stage was trained with values other than those of the present config."""
    folder = stage.cfg.OUTPUT_DIR
    try:
        text = config_there(folder) or "{}"
    except DataError:  # only the weights are needed
        return
    changed = differences(text, stage.cfg)
    if changed:
        logger.warning(
            "Stage %s was trained with %s: its weights are used as they are; remove %s to train it again",
            stage.name,
            "; ".join(map(str, changed)),
            folder,
        )


def _run_one(
    cfg: Any, args: argparse.Namespace, resume: bool, earlier: Sequence[Stage] = ()
) -> dict[str, Any]:
    cfg = setup_run(cfg, args)
    record = RunRecord(cfg, pasteable(sys.argv))
    if trained_tests(cfg):
        logger.warning(
            "DATASETS.COMBINEALL trains on the query and gallery people of %s: the scores there are not test scores",
            ", ".join(trained_tests(cfg)),
        )
    results, trained = (evaluate(cfg), False) if args.eval_only else train(cfg, resume)
    if comm.is_main_process():
        stages = [(stage.name, stage.cfg.OUTPUT_DIR) for stage in earlier]
        training = None if trained else _training_of(cfg, own=not args.eval_only)
        path = record.finish(results, stages, training, trained_tests(cfg))
        logger.info("Run record written to %s", path)
        for page in _pages(cfg.OUTPUT_DIR, record.start):
            logger.info("Open %s", page)
    return results


def _pages(folder: str, since: float) -> list[Path]:
    """Return the reports below a folder that were written since a point in time, sorted by name."""
    reports = Path(folder).glob("report/**/report.html")
    return sorted(path for path in reports if path.stat().st_mtime >= since)


def _training_of(cfg: Any, own: bool) -> dict[str, Any]:
    """Return how the evaluated model was trained, from the record in OUTPUT_DIR; {} if there is none for this model.

    Args:
        cfg: the config of the run.
        own: whether the model is the last one of OUTPUT_DIR, whatever MODEL.WEIGHTS says.
    """
    folder = os.path.realpath(cfg.OUTPUT_DIR)
    own = own or os.path.dirname(os.path.realpath(cfg.MODEL.WEIGHTS)) == folder
    return training_facts(folder) if own and is_finished(folder) else {}


def train(cfg: Any, resume: bool) -> tuple[dict[str, Any], bool]:
    """Train to the end.

    Returns:
        The metrics of the last evaluation, and False if the run had already been finished.

    Raises:
        ConfigError: the run to resume has been trained beyond ``SOLVER.MAX_EPOCH``.
    """
    trainer = Trainer(cfg)
    trainer.open_tests(trainer.cfg, trainer.model)
    if not resume:
        forget(cfg.OUTPUT_DIR)
    trainer.resume_or_load(resume=resume)
    require_same(
        trainer.start_epoch,
        f"the processes found different checkpoints in OUTPUT_DIR {cfg.OUTPUT_DIR}: it has to be a folder that all "
        "machines share",
    )
    if trainer.start_epoch > trainer.max_epoch:
        raise ConfigError(
            f"SOLVER.MAX_EPOCH is {trainer.max_epoch} but the model in OUTPUT_DIR {cfg.OUTPUT_DIR} was trained for "
            f"{trainer.start_epoch} epochs: raise SOLVER.MAX_EPOCH, or start a new training run in another OUTPUT_DIR"
        )
    return trainer.train() or Results(), trainer.start_epoch < trainer.max_epoch


def evaluate(cfg: Any) -> dict[str, Any]:
    """Evaluate the weights that the config names."""
    return Trainer.test(cfg, load_trained(cfg))


def _check_evaluation(cfg: Any) -> None:
    """Refuse to evaluate without ``MODEL.WEIGHTS`` or ``DATASETS.TESTS``."""
    if not cfg.MODEL.WEIGHTS:
        raise ConfigError("--eval-only needs MODEL.WEIGHTS, e.g. MODEL.WEIGHTS logs/my_run/model_final.pth")
    if not cfg.DATASETS.TESTS:
        raise ConfigError(
            "--eval-only needs DATASETS.TESTS, which is empty: name a dataset, e.g. \"('Market1501',)\""
        )
