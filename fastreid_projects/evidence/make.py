"""Train the runs of the list, one at a time; another call resumes where the previous one stopped."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Sequence

from fastreid_projects.config import load_config
from fastreid_projects.engine.stages import is_finished
from fastreid_projects.errors import DataError, InterruptedRunError
from fastreid_projects.evidence.claims import Claim, Training, training_runs
from fastreid_projects.evidence.report import arguments, command, write_claim
from fastreid_projects.interrupts import PASSED_ON, StopNow, heeded

logger = logging.getLogger("fastreid.projects.evidence")

_QUICK = {
    "DATASETS.ID_FRACTION": "0.25",
    "INPUT.SIZE_TRAIN": "[64, 32]",
    "INPUT.SIZE_TEST": "[64, 32]",
    "DATALOADER.NUM_WORKERS": "0",
}
OTHERS = "DemoReIDOthers"
_QUICK_STAGE = {"SOLVER.MAX_EPOCH": "1", "SOLVER.STEPS": "[]", "TEST.EVAL_PERIOD": "1"}


def quick_opts(config: str, opts: Sequence[str]) -> list[str]:
    """Return KEY VALUE pairs that shorten a run to one epoch of small images with a quarter of the identities.

    Args:
        config: the path of a YAML file.
        opts: pairs that override it.
    """
    cfg = load_config(config, opts)
    height = 96 if cfg.MODEL.META_ARCHITECTURE == "MGN" else 64  # as MGN cuts the map into three parts
    pairs = dict(_QUICK)
    if OTHERS in cfg.DATASETS.NAMES:  # as drawing a thousand persons alone takes minutes
        pairs |= dict.fromkeys(("DATASETS.NAMES", "DATASETS.TESTS"), "('DemoReID',)")
    pairs |= {key: f"[{height}, 32]" for key in _QUICK if key.startswith("INPUT.")} | _QUICK_STAGE
    for stage in cfg.STAGES:
        if stage.get("CONFIG"):
            pairs |= {f"STAGES.{stage['NAME']}.{key}": value for key, value in _QUICK_STAGE.items()}
    return [word for pair in pairs.items() for word in pair]


def make(claims: Sequence[Claim], output: str, *, quick: bool = False) -> list[Training]:
    """Train the runs that are not finished, and write the table of a claim after each of its runs.

    Args:
        claims: the list.
        output: the folder for runs and tables.
        quick: whether to train only one short run of each config, which shows that the list works.

    Returns:
        The runs that failed; all others are finished.

    Raises:
        DataError: all runs failed.
        InterruptedRunError: a signal came; the present run has stopped with a checkpoint.
    """
    failed: list[Training] = []
    number, tried = 0, set[str]()
    for claim in claims:
        made = []
        for training in training_runs(claim, output, claim.seeds[:1] if quick else ()):
            if quick and training.row.config in tried:
                continue
            tried.add(training.row.config)
            number += 1
            more = quick_opts(training.row.config, training.row.opts) if quick else []
            if not is_finished(training.folder) and not _train(training, more):
                failed.append(training)
                continue
            made.append(training)
            logger.info("Table written to %s", write_claim(output, claim, made))
    if number and len(failed) == number:
        raise DataError(f"all {number} runs failed; the first was {command(failed[0])}")
    return failed


def _train(training: Training, more: Sequence[str]) -> bool:
    """Train in a separate process, and return whether it succeeded.

    Raises:
        InterruptedRunError: a signal came; the training has stopped, too, with a checkpoint.
    """
    logger.info("%s", command(training, more))
    words = [sys.executable, "-m", "fastreid_projects", "train", *arguments(training, more)]
    try:
        with heeded(resumes=False), subprocess.Popen(words) as child:
            return _succeeds(child)
    except InterruptedRunError as error:
        sentence = f"Interrupted in {training.folder}; the same command continues the list"
        raise InterruptedRunError(sentence, error.exit_code - 128) from None


def _succeeds(child: subprocess.Popen[bytes]) -> bool:
    """Wait for a training and return whether it succeeded; a signal to this process stops the training first."""
    try:
        return child.wait() == 0
    except StopNow:
        child.send_signal(PASSED_ON[signal.SIGTERM])
        child.wait()
        raise
