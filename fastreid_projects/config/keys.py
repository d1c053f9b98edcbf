"""Config keys of this project that belong to no single paper."""

from __future__ import annotations

from fastreid.config import CfgNode as CN


def add_common_config(cfg: CN) -> None:
    """Add the keys; with their defaults every config means what it means in the host."""
    # Plug-ins from outside, see docs/plugins.md: modules ("my_pkg.my_losses") and paths of Python files ("my_loss.py").
    # Those of a YAML come after those of its _BASE_, those of the command line after both.
    cfg.PLUGINS = []
    # Trainings one after the other, see fastreid_projects.engine.stages: a list of overrides of this config, each with
    # a NAME. Each stage starts from the weights that the one before ended with.
    cfg.STAGES = []
    # Where the numbers of a training go besides log.txt and metrics.json, see fastreid_projects.engine.trackers:
    # "tensorboard", "wandb", "mlflow".
    cfg.TRACKERS = ["tensorboard"]
    # Keep only the input of each residual block for the backward pass and compute the rest again: less memory, more
    # time, the same numbers.
    cfg.MODEL.BACKBONE.ACTIVATION_CHECKPOINTING = False
    # Pool after the first convolution as torchvision's ResNets do, where the ImageNet weights come from; the host's
    # are a pixel off. BDB and MPN always do, as their authors' networks.
    cfg.MODEL.BACKBONE.PADDED_STEM = False
    # Start the last norm of each residual block at 0, so that every block begins as the identity (Goyal et al. 2017,
    # sec. 5.1). For ResNets trained from random weights; weights that are loaded replace it.
    cfg.MODEL.BACKBONE.ZERO_INIT_RESIDUAL = False
