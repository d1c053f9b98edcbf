"""A trained model from its config and weights."""

from __future__ import annotations

from typing import Any

from fastreid.utils.checkpoint import Checkpointer
from torch import nn

from fastreid_projects.engine.stages import build_stages
from fastreid_projects.engine.trainer import Trainer


def load_trained(cfg: Any) -> nn.Module:
    """Build the config's model on its device and load ``MODEL.WEIGHTS``; no pretrained weights are asked for.

    Of a config with STAGES it is the last stage's model.

    Raises:
        WeightsError: the file is missing, unusable, or belongs to another model.
    """
    cfg = build_stages(cfg)[-1].cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.PRETRAIN = False
    model = Trainer.build_model(cfg)
    Checkpointer(model).load(cfg.MODEL.WEIGHTS)
    return model
