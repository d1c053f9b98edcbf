"""Training the target first, where the config asks for it."""

from __future__ import annotations

import argparse
import logging
import os
from typing import Any

from fastreid.utils import comm

from fastreid_projects.amd.build import target_config

logger = logging.getLogger("fastreid.projects.amd")


def prepare_target(cfg: Any) -> None:
    """With ``MODEL.AMD.TARGET.TRAIN`` and no ``WEIGHTS``, train the target into ``OUTPUT_DIR/target``.

    A finished run there is used again; an interrupted one is resumed. ``WEIGHTS`` is set in ``cfg``.
    """
    node = cfg.MODEL.AMD.TARGET
    if not node.TRAIN or node.WEIGHTS:
        return
    from fastreid_projects.engine.run import run
    from fastreid_projects.engine.trainer import final_weights

    output_dir = os.path.join(cfg.OUTPUT_DIR, "target")
    weights = final_weights(output_dir)
    if not os.path.isfile(weights) and not _trained_already(cfg):
        target = target_config(cfg)
        target.OUTPUT_DIR = output_dir
        target.SEED = cfg.SEED
        logger.info("Training the target of %s first, into %s", node.CONFIG, output_dir)
        run(target, argparse.Namespace(resume=True, eval_only=False, config_file=node.CONFIG))
        comm.synchronize()
    if os.path.isfile(weights):
        node.WEIGHTS = weights


def _trained_already(cfg: Any) -> bool:
    """An interpreter's own checkpoint holds its target."""
    return bool(cfg.MODEL.WEIGHTS) and os.path.isfile(cfg.MODEL.WEIGHTS)
