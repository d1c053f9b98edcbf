"""Building AMD's parts from a config: the attribute set, the frozen target, the interpreter's start."""

from __future__ import annotations

import copy
import os
from typing import Any

from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from torch import Tensor, nn

from fastreid_projects.amd.targets import FrozenTarget, trunk
from fastreid_projects.config import load_config
from fastreid_projects.data.attribute_dataset import attribute_set_of
from fastreid_projects.data.attributes import ATTRIBUTE_SETS, AttributeSet
from fastreid_projects.errors import ConfigError, WeightsError
from fastreid_projects.host.checkpoint import load_state_dict_file

# Classes of a model that is built to see where its classifiers are.
_PROBE = 10007


def resolve_attribute_set(cfg: Any) -> AttributeSet:
    """The set named by ``MODEL.AMD.ATTRIBUTES``, else that of the first training dataset.

    Raises:
        ConfigError: the name is unknown, or the dataset has no attributes.
    """
    name = cfg.MODEL.AMD.ATTRIBUTES
    if name:
        if name not in ATTRIBUTE_SETS:
            raise ConfigError(f"MODEL.AMD.ATTRIBUTES is '{name}'; known are {', '.join(ATTRIBUTE_SETS)}")
        return ATTRIBUTE_SETS[name]
    dataset = cfg.DATASETS.NAMES[0]
    attribute_set = attribute_set_of(dataset)
    if attribute_set is None:
        raise ConfigError(
            f"DATASETS.NAMES begins with {dataset}, which has no attribute file; AMD needs a dataset with attributes, "
            "or MODEL.AMD.ATTRIBUTES"
        )
    return attribute_set


def target_config(cfg: Any) -> Any:
    """The target's own config, as it was trained.

    Raises:
        ConfigError: ``MODEL.AMD.TARGET.CONFIG`` is empty or names AMD itself.
    """
    path = cfg.MODEL.AMD.TARGET.CONFIG
    if not path:
        raise ConfigError("MODEL.AMD.TARGET.CONFIG is empty; name the yaml of the model to explain")
    target = load_config(path)
    if target.MODEL.META_ARCHITECTURE == "AMD":
        raise ConfigError(
            f"MODEL.AMD.TARGET.CONFIG names {path}, which is an interpreter, not a model to explain"
        )
    target.MODEL.DEVICE = cfg.MODEL.DEVICE
    target.MODEL.BACKBONE.PRETRAIN = False
    return target


def build_target(cfg: Any) -> nn.Module:
    """The target model with its weights, on the CPU.

    The number of classes is read off the weights, so a ``Base`` yaml does as well as a run's config.yaml. With an
    AMD checkpoint in ``MODEL.WEIGHTS`` the target inside it serves when its own file is not there.

    Raises:
        WeightsError: no weights, or weights of another model; the sentence says how to train a target.
    """
    target = target_config(cfg)
    path, state = _target_state(cfg)
    build = META_ARCH_REGISTRY.get(target.MODEL.META_ARCHITECTURE)
    classifier = next((v for k, v in state.items() if k.endswith(("heads.weight", "b1_head.weight"))), None)
    target.MODEL.HEADS.NUM_CLASSES = _PROBE if classifier is None else len(classifier)
    model = build(target)
    if classifier is None:  # an architecture of this project, with classifiers of its own
        target.MODEL.HEADS.NUM_CLASSES = _classes(model, state)
        model = build(target)
    _load_all(model, state, path, cfg)
    return model


def _classes(model: nn.Module, state: dict[str, Tensor]) -> int:
    """The number of classes of the weights: what stands where a model of so many (a prime) has this number."""
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
        f"train the target with 'python tools/train_net.py --config-file {config}' and name the model_final.pth of "
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
    model.load_state_dict(state, strict=False)


def check_interpreter(cfg: Any) -> None:
    """See that ``MODEL.WEIGHTS`` are an interpreter's with the config's attributes.

    Raises:
        ConfigError: the config is none of AMD.
        WeightsError: the file is missing, of another model, or of another attribute set.
    """
    if cfg.MODEL.META_ARCHITECTURE != "AMD":
        raise ConfigError(
            f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}, which explains nothing; name an AMD config"
        )
    path, expected = cfg.MODEL.WEIGHTS, resolve_attribute_set(cfg)
    if not os.path.isfile(path):
        raise WeightsError(
            f"the interpreter's weights '{path}' do not exist; train it with tools/train_net.py, or name its "
            "checkpoint with --weights"
        )
    last = load_state_dict_file(path).get("head.decompose.weight")
    if last is None:
        raise WeightsError(f"{path} holds no interpreter of AMD; name the model_final.pth of an AMD run")
    if len(last) != len(expected):
        raise WeightsError(
            f"the interpreter in {path} has {len(last)} attributes, but the set {expected.name} has "
            f"{len(expected)}; set MODEL.AMD.ATTRIBUTES to the one that it was trained on"
        )


def build_free_stages(cfg: Any, target: FrozenTarget) -> nn.ModuleList:
    """The interpreter's stages N+1..5, trainable.

    They start from ImageNet weights (sec. 4.2) where ``MODEL.AMD.PRETRAIN_PATH`` names a file, read by the host's
    own backbone builder, else from the target's.
    """
    first = target.shared_stages
    if cfg.MODEL.AMD.PRETRAIN_PATH:
        fresh = target_config(cfg)
        fresh.MODEL.BACKBONE.PRETRAIN = True
        fresh.MODEL.BACKBONE.PRETRAIN_PATH = cfg.MODEL.AMD.PRETRAIN_PATH
        fresh.MODEL.HEADS.NUM_CLASSES = 1
        stages = trunk(META_ARCH_REGISTRY.get(fresh.MODEL.META_ARCHITECTURE)(fresh))[first:]
    else:
        stages = copy.deepcopy(list(target.stages[first:]))
    free = nn.ModuleList(stages)
    for parameter in free.parameters():
        parameter.requires_grad_(True)
    return free
