"""Models of every config on the fake CUDA device, with the batches that they take.

Two stand-ins are needed: an interpreter's target is built instead of loaded, since its file does not exist, and neither
is the file of pretrained weights.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from fastreid.engine.train_loop import AMPTrainer, SimpleTrainer
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY, build_model
from fastreid.solver import build_optimizer
from fastreid.utils.events import EventStorage

from fastreid_projects.amd import free_stages, meta_arch
from fastreid_projects.amd.build import target_config
from fastreid_projects.config import load_config
from fastreid_projects.engine.stages import build_stages
from fastreid_projects.host.engine.train_loop.amp import set_amp_dtype
from tests.devices.fake_cuda import DEVICE, Traffic
from tests.yaml_files import ROOT, RUNNABLE

CLASSES = 4
# What changes only the sizes, or where the data come from, not the operations of a step.
_SAME = (
    "FOLDER",
    "IDE",
    "STRICT",
    "TEST",
    "REPORT",
    "ATTRIBUTES",
    "CONFIG",
    "WEIGHTS",
    "PRETRAIN_PATH",
    "MODE",
)


def kinds_of(folder: str) -> dict[str, Any]:
    """The configs of one folder of ``projects``, or of ``configs``, that differ in what a step does.

    Returns:
        ``path``, or ``path stage`` where there are several, -> its config; of each kind with the smallest backbone.
    """
    found = {}
    for path in RUNNABLE:
        name = str(path.relative_to(ROOT))
        if f"{folder}/" in name and (folder != "configs" or name.startswith("configs/")):
            found |= {
                f"{name} {stage.name}".strip(): stage.cfg for stage in build_stages(load_config(str(path)))
            }
    return {name: found[name] for name in distinct(found)}


def distinct(configs: dict[str, Any]) -> list[str]:
    """The names of configs that differ in architecture, head, losses or options; of each kind the smallest backbone."""
    kinds: dict[str, str] = {}
    for name in sorted(configs, key=lambda name: (configs[name].MODEL.BACKBONE.DEPTH != "18x", name)):
        kinds.setdefault(str(_options(configs[name])), name)
    return sorted(kinds.values())


def _options(cfg: Any) -> tuple[Any, ...]:
    """What a step's operations depend on."""
    model = cfg.MODEL
    heads, losses, backbone = model.HEADS, model.LOSSES, model.BACKBONE
    nodes = [model[name] for name in ("AMD", "MPN", "AIRNET") if name == model.META_ARCHITECTURE.upper()]
    nodes += [model.SAL] if "dilated" in backbone.NAME else []
    triplet = losses.TRI if "TripletLoss" in losses.NAME else None
    return (
        *(model.META_ARCHITECTURE, backbone.NAME, backbone.WITH_NL, sorted(losses.NAME)),
        *(heads.NAME, heads.POOL_LAYER, heads.CLS_LAYER, heads.WITH_BNNECK, heads.NECK_FEAT),
        triplet and (triplet.MARGIN > 0, triplet.HARD_MINING),
        [list(_choices(node)) for node in nodes],
        _options(target_config(cfg)) if model.META_ARCHITECTURE == "AMD" else (),
    )


def _choices(node: Any) -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if key in _SAME:
            continue
        if hasattr(value, "items"):
            yield from _choices(value)
        elif isinstance(value, (str, bool, tuple, list)):
            yield key, str(value)


def fitted(cfg: Any) -> Any:
    """The config for the fake device, without files."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "cuda:0", ""
    cfg.MODEL.BACKBONE.PRETRAIN, cfg.MODEL.HEADS.NUM_CLASSES = False, CLASSES
    return cfg


@contextlib.contextmanager
def targets_without_files() -> Iterator[None]:
    """Let an interpreter's target be built, not loaded."""

    def build_target(cfg: Any) -> torch.nn.Module:
        target = target_config(cfg)
        target.MODEL.HEADS.NUM_CLASSES = CLASSES
        return META_ARCH_REGISTRY.get(target.MODEL.META_ARCHITECTURE)(target)

    with (
        mock.patch.object(meta_arch, "build_target", build_target),
        mock.patch.object(free_stages, "_pretrained_trunk", return_value=None),
    ):
        yield


def build(cfg: Any) -> Any:
    """The model of a fitted config on the fake device."""
    with targets_without_files():
        return build_model(cfg).to(DEVICE)


def batch_of(cfg: Any, model: Any, device: str, *, training: bool = True) -> dict[str, Any]:
    """A batch as the loader brings it: of the config's own sizes."""
    count = cfg.SOLVER.IMS_PER_BATCH if training else 4
    height, width = _size(cfg.INPUT.SIZE_TRAIN if training else cfg.INPUT.SIZE_TEST)
    masks = torch.zeros(count, height, width, dtype=torch.uint8, device=device)
    attributes = _attributes(model)
    batch = {
        "images": torch.zeros(count, 3, height, width, device=device),
        "targets": torch.arange(count, device=device) // 4,
        "camids": torch.arange(count, device=device) % 2,
        "img_paths": [f"{number}.jpg" for number in range(count)],
        "part_masks": masks,
        "whole_part_masks": masks,
    }
    if attributes:
        batch["attributes"] = torch.zeros(count, attributes, dtype=torch.int8, device=device)
    return batch


def _size(size: Any) -> tuple[int, int]:
    return (size[0], size[1]) if len(size) == 2 else (128, 64)


def _attributes(model: Any) -> int:
    kind = type(model).__name__
    if kind == "AMD":
        return len(model.attribute_set)
    return model.attribute_classifier.out_features if kind == "IdentityAndAttributes" else 0


def train(cfg: Any, model: Any, dtype: str, traffic: Traffic) -> Traffic:
    """Take a step by the project's trainer, and return what crossed; an interpreter reads its target in a first one.

    Args:
        cfg: of :func:`fitted`.
        model: on the fake device.
        dtype: ``SOLVER.AMP.DTYPE``, or "float32" without mixed precision.
        traffic: of the fake device.
    """
    model.train()
    batch, steps = batch_of(cfg, model, DEVICE), 2 if cfg.MODEL.META_ARCHITECTURE == "AMD" else 1
    optimizer, groups = build_optimizer(cfg, model)
    kind = SimpleTrainer if dtype == "float32" else AMPTrainer
    trainer = kind(model, [batch] * steps, optimizer, groups)
    if dtype != "float32":
        set_amp_dtype(trainer, dtype)
    with EventStorage(0) as storage:
        for trainer.iter in range(steps):
            traffic.transfers.clear()
            trainer.run_step()
            storage.step()
    return traffic


def config_of(path: str | Path) -> Any:
    """The last stage's config of a path, fitted."""
    return fitted(build_stages(load_config(str(path)))[-1].cfg)
