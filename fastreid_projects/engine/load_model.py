"""A trained model from its config and weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils.checkpoint import Checkpointer
from torch import nn

from fastreid_projects.config import load_config
from fastreid_projects.config.unread import warn_of_unread
from fastreid_projects.config.watched import WatchedConfig
from fastreid_projects.contract import HasTestConfig
from fastreid_projects.engine.stages import build_stages
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.errors import ConfigError


def load_trained(cfg: Any) -> nn.Module:
    """Build the config's model on its device and load ``MODEL.WEIGHTS``; no pretrained weights are asked for.

    Of a config with STAGES it is the last stage's model. An architecture with a ``test_config`` is
    built without what only training needs. Values without an effect are warned of, not refused: a model of an earlier
    version may have been trained with them.

    Raises:
        WeightsError: the file is missing, unusable, belongs to another model, or lacks a part of this one; only a
            classifier's classes may be others.
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


def named_configs(
    flag: str, models: Sequence[tuple[str, str, str]], taken: Sequence[str] = ()
) -> dict[str, Any]:
    """The configs of models that are shown side by side, with ``MODEL.WEIGHTS``, by their names.

    Args:
        flag: the argument that is repeated with NAME CONFIG WEIGHTS.
        models: these.
        taken: names of models that are shown besides.

    Raises:
        ConfigError: two models of one name, or a config that cannot be loaded.
    """
    names = [*taken, *(name for name, _, _ in models)]
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise ConfigError(f"{flag} {twice} is the name of two models: name each model differently")
    return {name: load_config(config, ["MODEL.WEIGHTS", weights]) for name, config, weights in models}
