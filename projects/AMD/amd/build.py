"""Build AMD's frozen target from a config."""

from __future__ import annotations

import os
from typing import Any

from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from torch import Tensor, nn

from fastreid_projects.checkpoints.dialects import in_own_names
from fastreid_projects.checkpoints.weights import load_state_dict_file
from fastreid_projects.config import load_config
from fastreid_projects.config.plugin_names import plugin_opts
from fastreid_projects.errors import ConfigError, WeightsError
from fastreid_projects.files import write_aside

from .checks import warn_of_another_size
from .saved_weights import require_finite

# A number of classes (a prime) that no other dimension has: it shows which weights are classifiers.
_PROBE = 10007
TARGET_COPY = "target.yaml"
RUN_CONFIG = "config.yaml"


def target_config(cfg: Any) -> Any:
    """Return the target's own config with pretrained weights switched off, as the target's trained weights are loaded.

    Raises:
        ConfigError: see :func:`training_config_of_target`.
    """
    target = training_config_of_target(cfg)
    target.MODEL.BACKBONE.PRETRAIN = False
    return target


def training_config_of_target(cfg: Any) -> Any:
    """Return the config that the target was trained with.

    If ``MODEL.AMD.TARGET.CONFIG`` is not found because the run was moved or is used from another folder, the copy that
    :func:`save_target_config` left beside the interpreter's weights or in OUTPUT_DIR is used. If the run of the weights
    names its target by the same relative path, its copy takes precedence even over an existing file: from the current
    folder, that path may lead to another target.

    Raises:
        ConfigError: ``MODEL.AMD.TARGET.CONFIG`` is empty, does not exist, or is a config of AMD itself.
    """
    path = cfg.MODEL.AMD.TARGET.CONFIG
    if not path:
        raise ConfigError("MODEL.AMD.TARGET.CONFIG is empty; name the yaml of the model to explain")
    folders = [os.path.dirname(cfg.MODEL.WEIGHTS)] if cfg.MODEL.WEIGHTS else []
    copies = [os.path.join(folder, TARGET_COPY) for folder in (*folders, cfg.OUTPUT_DIR)]
    if folders and os.path.isfile(copies[0]) and _run_calls(folders[0], path):
        path = copies[0]
    if not os.path.isfile(path):
        path = next((copy for copy in copies if os.path.isfile(copy)), path)
    if not os.path.isfile(path):
        raise ConfigError(
            f"MODEL.AMD.TARGET.CONFIG names {path}, which does not exist; name the yaml of the model to explain, or "
            "start from the folder that the path is relative to"
        )
    target = load_config(path, plugin_opts(cfg))
    if target.MODEL.META_ARCHITECTURE == "AMD":
        raise ConfigError(
            f"MODEL.AMD.TARGET.CONFIG names {path}, which is an interpreter, not a model to explain"
        )
    target.MODEL.DEVICE = cfg.MODEL.DEVICE
    return target


def _run_calls(folder: str, path: str) -> bool:
    """Return whether ``path`` is relative and the config of the run in ``folder`` names its target by it."""
    config = os.path.join(folder, RUN_CONFIG)
    if os.path.isabs(path) or not os.path.isfile(config):
        return False
    try:
        return bool(path == load_config(config).MODEL.AMD.TARGET.CONFIG)
    except ConfigError:  # written by an older version, or not the config of a run
        return False


def save_target_config(cfg: Any) -> None:
    """Save the target's config in OUTPUT_DIR, so that the run still works after its folder was moved."""
    target = training_config_of_target(cfg)
    target.STAGES = []
    write_aside(os.path.join(cfg.OUTPUT_DIR, TARGET_COPY), target.dump().encode())


def build_target(cfg: Any) -> nn.Module:
    """Return the target model with its weights, on the CPU.

    The number of classes is read from the weights, so that a base config works as well as a run's config.yaml. If the
    target's own weights file does not exist, the target's weights are taken from the AMD checkpoint in
    ``MODEL.WEIGHTS``.

    Raises:
        WeightsError: there are no weights, or they belong to another model; the message says how to train a target.
    """
    target = target_config(cfg)
    warn_of_another_size(cfg, target)
    path, state = _target_state(cfg)
    build = META_ARCH_REGISTRY.get(target.MODEL.META_ARCHITECTURE)
    classifier = next((v for k, v in state.items() if k.endswith(("heads.weight", "b1_head.weight"))), None)
    target.MODEL.HEADS.NUM_CLASSES = _PROBE if classifier is None else len(classifier)
    model = build(target)
    state, _ = in_own_names(model.state_dict(), state, model)
    if classifier is None:  # classifiers of this project's architectures have other names
        target.MODEL.HEADS.NUM_CLASSES = _classes(model, state)
        model = build(target)
    _load_all(model, state, path, cfg)
    return model


def _classes(model: nn.Module, state: dict[str, Tensor]) -> int:
    """Return the number of classes of the weights: their size in the dimension where the model has ``_PROBE``."""
    for key, own in model.state_dict().items():
        saved = state.get(key)
        if saved is None or saved.dim() != own.dim():
            continue
        for here, there in zip(own.shape, saved.shape, strict=True):
            if here == _PROBE and there != _PROBE:
                return int(there)
    return _PROBE


def _target_state(cfg: Any) -> tuple[str, dict[str, Tensor]]:
    node = cfg.MODEL.AMD.TARGET
    if node.WEIGHTS and os.path.isfile(node.WEIGHTS):
        return node.WEIGHTS, load_state_dict_file(node.WEIGHTS)
    own = cfg.MODEL.WEIGHTS
    if own and os.path.isfile(own):
        prefix = "target.model."
        state = {k[len(prefix) :]: v for k, v in load_state_dict_file(own).items() if k.startswith(prefix)}
        if state:
            return own, state
    missing = f"'{node.WEIGHTS}' does not exist" if node.WEIGHTS else "is empty"
    raise WeightsError(f"MODEL.AMD.TARGET.WEIGHTS {missing}; {_how_to_train(cfg)}")


def _how_to_train(cfg: Any) -> str:
    config = cfg.MODEL.AMD.TARGET.CONFIG
    return (
        f"train the target with 'fastreid-projects train --config-file {config}' and name the model_final.pth of "
        "its OUTPUT_DIR"
    )


def _load_all(model: nn.Module, state: dict[str, Tensor], path: str, cfg: Any) -> None:
    own = model.state_dict()
    wanted = {k for k in own if not k.endswith("num_batches_tracked")}
    wrong = {k for k in wanted if k not in state or state[k].shape != own[k].shape}
    wrong |= {k for k in state if k not in own}
    if wrong:
        raise WeightsError(
            f"the target's weights {path} do not belong to {cfg.MODEL.AMD.TARGET.CONFIG}: {len(wrong)} entries are "
            f"missing, left over or of another shape, e.g. {min(wrong)}; {_how_to_train(cfg)}"
        )
    require_finite(state, f"the target's weights {path}")
    model.load_state_dict(state, strict=False)
