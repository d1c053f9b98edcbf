"""Config keys of this project that do not belong to a single paper."""

from __future__ import annotations

from fastreid.config import CfgNode as CN


def add_common_config(cfg: CN) -> None:
    """Add the keys; with their defaults, every config means the same as in the host."""
    # External plug-ins, see docs/plugins.md: modules ("my_pkg.my_losses") and paths of Python files ("my_loss.py").
    # The plug-ins of a YAML file are added after those of its _BASE_, and those of the command line last.
    cfg.PLUGINS = []
    # Stages to train one after the other, see fastreid_projects.engine.stages: a list of overrides of this config, each
    # with a NAME. Each stage starts from the final weights of the stage before.
    cfg.STAGES = []
    # Trackers that record a training run in addition to log.txt and metrics.json, see
    # fastreid_projects.engine.trackers: "tensorboard", "wandb", "mlflow".
    cfg.TRACKERS = ["tensorboard"]
    # How a run is computed, see docs/configs.md; none of these changes what is learned but EMA and, where a loss
    # compares the images of a batch or a norm takes their statistics, ACCUMULATION.
    cfg.TRAINING = CN()
    # Parts that a batch is trained in, one after the other, with one update for all: memory of a part.
    cfg.TRAINING.ACCUMULATION = 1
    # Evaluate and save the exponential moving average of the weights, w' = EMA w' + (1 - EMA) w after each update; 0:
    # the weights themselves.
    cfg.TRAINING.EMA = 0.0
    # Keep weights and maps with the channels last in memory, as tensor cores want them.
    cfg.TRAINING.CHANNELS_LAST = False
    # Update all weights by one kernel, with PyTorch's Adam, AdamW, SGD and Adagrad.
    cfg.TRAINING.FUSED = False
    # Multiply matrices by TF32 on a GPU; its convolutions do so in any case.
    cfg.TRAINING.TF32 = False
    # Compile the backbone by torch.compile; needs a C++ compiler.
    cfg.TRAINING.COMPILE = False
    # Keep only the input of each residual block for the backward pass and compute the rest again: this takes less
    # memory and more time, and gives the same numbers.
    cfg.MODEL.BACKBONE.ACTIVATION_CHECKPOINTING = False
    # Pad the pooling after the first convolution as torchvision's ResNets do, which the ImageNet weights come from; the
    # host's ResNets are a pixel off. BDB and MPN always pad, as their authors' networks do.
    cfg.MODEL.BACKBONE.PADDED_STEM = False
    # Start the last norm of each residual block at 0, so that every block starts as the identity (Goyal et al. 2017,
    # sec. 5.1). For ResNets that are trained from random weights; loaded weights replace it.
    cfg.MODEL.BACKBONE.ZERO_INIT_RESIDUAL = False
    # Each layer of a transformer's or another numbered backbone has this share of the learning rate of the one behind
    # it, see fastreid_projects.modeling.layer_decay; 1.0: all alike.
    cfg.SOLVER.LAYER_DECAY = 1.0
