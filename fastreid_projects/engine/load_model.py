"""Load a trained model from its config and weights."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import torch
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils.checkpoint import Checkpointer
from torch import nn

from fastreid_projects.config import load_config
from fastreid_projects.config.ready import ready
from fastreid_projects.config.unread import warn_of_unread
from fastreid_projects.config.watched import WatchedConfig
from fastreid_projects.contract import HasTestConfig
from fastreid_projects.engine.stages import WEIGHTS, build_stages
from fastreid_projects.engine.trainer import Trainer, final_weights
from fastreid_projects.errors import ConfigError

_RUN_CONFIG, _LOG = "config.yaml", "log.txt"


def load_trained(cfg: Any) -> nn.Module:
    """Build the config's model on its device and load ``MODEL.WEIGHTS``; pretrained weights are not needed.

    If the config has STAGES, the model is that of the last stage. An architecture with a ``test_config`` is built
    without the parts that only training needs. Values without an effect cause a warning, not an error, because an
    earlier version may have trained the model with them.

    Raises:
        WeightsError: the file is missing or unusable, belongs to another model, or lacks a part of this one; only the
            classes of the classifier may differ.
    """
    cfg = build_stages(cfg)[-1].cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.PRETRAIN = False
    architecture = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    if isinstance(architecture, HasTestConfig):
        cfg = architecture.test_config(cfg)
    watched = WatchedConfig.of(cfg)
    model = Trainer.build_for_tests(watched)
    warn_of_unread(watched)
    checkpointer = Checkpointer(model)
    checkpointer.classes = cfg.MODEL.HEADS.NUM_CLASSES
    checkpointer.load(cfg.MODEL.WEIGHTS)
    return model


def trained_config(config: str, weights: str = "", opts: Sequence[str] = ()) -> Any:
    """Return the checked config of a trained model, with ``MODEL.WEIGHTS`` and a device of this machine.

    Args:
        config: a YAML file, by its path or name; or the folder of a run, which needs no other argument.
        weights: the weights; by default those that ``opts`` name, else ``model_final.pth`` of the config's run, else
            those that a config names which no run has written: a run's names those that it started from.
        opts: ``KEY VALUE`` pairs that override the config.

    Raises:
        ConfigError: the config cannot be used, or there are no weights.
    """
    config = run_config(config)
    cfg = load_config(config, list(opts))
    if weights:
        cfg.MODEL.WEIGHTS = str(weights)
    elif WEIGHTS not in opts:
        cfg.MODEL.WEIGHTS = _weights_of_run(config, cfg)
    cfg = build_stages(cfg)[-1].cfg.clone()
    cfg.defrost()
    return ready(cfg)


def run_config(config: str) -> str:
    """Return the config of a run that is named by its folder; any other config as it is.

    Raises:
        ConfigError: the folder is not that of a run.
    """
    if not os.path.isdir(config):
        return config
    path = os.path.join(config, _RUN_CONFIG)
    if not os.path.isfile(path):
        raise ConfigError(
            f"the folder {config} does not hold a {_RUN_CONFIG}: name the OUTPUT_DIR of a run, or a config"
        )
    return path


def _weights_of_run(config: str, cfg: Any) -> str:
    """Return the final weights of a config's run, which lie beside the run's config.yaml or in OUTPUT_DIR.

    A config that has no run may name others.
    """
    beside, name = os.path.split(config)
    folders = [beside or ".", cfg.OUTPUT_DIR] if name == _RUN_CONFIG else [cfg.OUTPUT_DIR]
    found = next((final_weights(folder) for folder in folders if os.path.isfile(final_weights(folder))), "")
    if not found and cfg.MODEL.WEIGHTS and not any(os.path.isfile(f"{folder}/{_LOG}") for folder in folders):
        return str(cfg.MODEL.WEIGHTS)
    if not found:
        raise ConfigError(
            f"no weights are named, and {final_weights(folders[0])} does not exist: train with "
            f"'fastreid-projects train --config-file {config}', or add MODEL.WEIGHTS and the path of a checkpoint"
        )
    return found


def model_digest(model: nn.Module, cfg: Any) -> str:
    """Return a text that changes whenever features change: with weights, architecture, input, flip or metric.

    The same weights in another file or on another device give the same text.
    """
    node = cfg.MODEL.clone()
    node.defrost()
    node.DEVICE = node.WEIGHTS = ""
    node.HEADS.NUM_CLASSES = 0
    node.BACKBONE.PRETRAIN, node.BACKBONE.PRETRAIN_PATH = False, ""
    node.LOSSES.clear()
    words = (
        node.dump(),
        list(cfg.INPUT.SIZE_TEST),
        cfg.INPUT.CROP.dump(),
        cfg.TEST.FLIP.ENABLED,
        cfg.TEST.METRIC,
    )
    digest = hashlib.sha256("\n".join(map(str, words)).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def named_configs(
    flag: str, models: Sequence[tuple[str, str, str]], taken: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the configs of models to show side by side, with ``MODEL.WEIGHTS``, by the models' names.

    Args:
        flag: the argument that is repeated with NAME CONFIG WEIGHTS.
        models: (name, config, weights) of each model.
        taken: names of other models that are shown with them.

    Raises:
        ConfigError: two models have the same name, or a config cannot be loaded.
    """
    names = [*taken, *(name for name, _, _ in models)]
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise ConfigError(f"{flag} {twice} is the name of two models: name each model differently")
    return {name: load_config(config, ["MODEL.WEIGHTS", weights]) for name, config, weights in models}
