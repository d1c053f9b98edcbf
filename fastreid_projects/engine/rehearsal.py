"""A rehearsal of a run with several stages: find what a later stage would refuse before the first stage is trained.

The rehearsal builds the model of every stage and opens the data of every later stage, on the CPU. The weights that a
stage would end with are replaced by a file of zeros with the same names and shapes.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from fastreid_projects.checkpoints.matching import check_weights
from fastreid_projects.checkpoints.weights import load_state_dict_file
from fastreid_projects.config import get_key, set_key
from fastreid_projects.config.schedule import check_steps
from fastreid_projects.data.byte_images import with_floats
from fastreid_projects.data.collate import fast_batch_collator
from fastreid_projects.engine.trainer import Trainer


def rehearse_first(cfg: Any) -> nn.Module:
    """Build the model of the first stage from random weights; the stage checks its data and weights when it starts."""
    cfg = _on_the_cpu(cfg)
    cfg.MODEL.BACKBONE.PRETRAIN = cfg.MODEL.BACKBONE.ZERO_INIT_RESIDUAL = False
    cfg.MODEL.HEADS.NUM_CLASSES = cfg.MODEL.HEADS.NUM_CLASSES or 2
    with _silent():
        return Trainer.build_model(cfg)


def rehearse(cfg: Any, weights_key: str, weights: str) -> nn.Module:
    """Open a stage's training and test data, build its model, and check that it accepts the weights and an image.

    Args:
        cfg: the stage's config.
        weights_key: the config key that names the weights.
        weights: a file from :func:`write_stand_in`.

    Returns:
        The model.

    Raises:
        ConfigError: the data or the model refuse a value.
        DataError: data, attributes or masks are missing.
        WeightsError: the weights belong to another model.
    """
    cfg = _on_the_cpu(cfg)
    set_key(cfg, weights_key, weights, "")
    cfg.OUTPUT_DIR = os.path.join(os.path.dirname(weights), "nowhere")
    with _silent():
        loader = Trainer.build_train_loader(cfg)
        check_steps(cfg.SOLVER, len(loader.dataset) // cfg.SOLVER.IMS_PER_BATCH)
        model = Trainer.build_model(Trainer.auto_scale_hyperparams(cfg, loader.dataset.num_classes))
        if get_key(cfg, "MODEL.WEIGHTS"):
            check_weights(model, load_state_dict_file(cfg.MODEL.WEIGHTS), cfg.MODEL.WEIGHTS)
        Trainer.open_tests(cfg, model)
        with torch.no_grad():
            model.eval()(with_floats(fast_batch_collator([loader.dataset[0]])))
    return model


def write_stand_in(model: nn.Module, path: str) -> None:
    """Write zeros with the names and shapes of a model's weights; the file is small, with one number for each."""
    state = {name: torch.zeros((), dtype=v.dtype).expand(v.shape) for name, v in model.state_dict().items()}
    torch.save({"model": state}, path)


def _on_the_cpu(cfg: Any) -> Any:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE, cfg.SOLVER.AMP.ENABLED, cfg.DATALOADER.NUM_WORKERS = "cpu", False, 0
    return cfg


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Disable logging, because the stage logs the same when it starts."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
