"""Check the host's config keys before anything is built: names have to exist, numbers have to fit together."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.layers import any_softmax
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils import comm

from fastreid_projects.config.data_checks import check_test_sets, check_training_sets
from fastreid_projects.config.names import unknown_name
from fastreid_projects.config.needs import check_needs
from fastreid_projects.config.ranges import check_run_values, check_training_values
from fastreid_projects.config.schedule import check_steps
from fastreid_projects.config.solvers import SCHEDULES, optimizer_names
from fastreid_projects.config.training import check_training_group
from fastreid_projects.contract import BelongsTo
from fastreid_projects.data.own.names import own_folder
from fastreid_projects.device import AMP_DTYPES
from fastreid_projects.errors import ConfigError
from fastreid_projects.evaluation.precision import FORMULAS
from fastreid_projects.evaluation.ties import TIES
from fastreid_projects.modeling.backbones.timm_names import BUILDERS, check_name
from fastreid_projects.modeling.pooling import pooling_layers

IDENTITY_SAMPLERS = ["NaiveIdentitySampler", "BalancedIdentitySampler", "SetReWeightSampler"]
SAMPLERS = ["TrainingSampler", *IDENTITY_SAMPLERS, "ImbalancedDatasetSampler"]
# MODEL.BACKBONE.DEPTH by MODEL.BACKBONE.NAME; the host looks it up in a dict in each builder (resnet.py:312).
DEPTHS = {
    "build_resnet_backbone": ["18x", "34x", "50x", "101x"],
    "build_resnest_backbone": ["50x", "101x", "200x", "269x"],
    "build_resnext_backbone": ["50x", "101x"],
    "build_osnet_backbone": ["x1_0", "x0_75", "x0_5", "x0_25"],
    "build_mobilenetv2_backbone": ["1.0x", "0.75x", "0.5x", "0.35x", "0.25x", "0.1x"],
    "build_mobilenetv3_backbone": ["Large", "Small"],
    "build_shufflenetv2_backbone": ["0.5x", "1.0x", "1.5x", "2.0x"],
    "build_vit_backbone": ["small", "base"],
}
# They read YAML files below the working folder (regnet.py:552, effnet.py:245), which no wheel contains.
CHECKOUT_ONLY = ("build_regnet_backbone", "build_effnet_backbone")
CHECKOUT_FOLDER = "fastreid/modeling/backbones/regnet"
PADDINGS = ("constant", "edge", "reflect", "symmetric")
NORMS = ["BN", "syncBN", "GhostBN", "FrozenBN", "GN"]


def check_host_config(cfg: Any) -> None:
    """Check what every run needs: the device, the model, and the way it is tested.

    Raises:
        ConfigError: a value is wrong; the message names the key, its value and a way out.
    """
    _check_device(cfg)
    check_run_values(cfg)
    model = cfg.MODEL
    for key, value, known in (
        ("MODEL.META_ARCHITECTURE", model.META_ARCHITECTURE, META_ARCH_REGISTRY._obj_map),
        ("MODEL.BACKBONE.NAME", model.BACKBONE.NAME, BACKBONE_REGISTRY._obj_map),
        ("MODEL.HEADS.NAME", model.HEADS.NAME, REID_HEADS_REGISTRY._obj_map),
        ("MODEL.HEADS.POOL_LAYER", model.HEADS.POOL_LAYER, pooling_layers()),
        ("MODEL.HEADS.CLS_LAYER", model.HEADS.CLS_LAYER, _layers(any_softmax)),
        ("MODEL.HEADS.NECK_FEAT", model.HEADS.NECK_FEAT, ("before", "after")),
        ("MODEL.BACKBONE.NORM", model.BACKBONE.NORM, NORMS),
        ("MODEL.HEADS.NORM", model.HEADS.NORM, NORMS),
        ("TEST.METRIC", cfg.TEST.METRIC, ("cosine", "euclidean")),
        ("TEST.TIES", cfg.TEST.TIES, TIES),
        ("TEST.AP", cfg.TEST.AP, FORMULAS),
        ("TEST.RERANK.FORMULA", cfg.TEST.RERANK.FORMULA, ("zhong2017", "fastreid")),
        ("TEST.AQE.FORMULA", cfg.TEST.AQE.FORMULA, ("radenovic2018", "fastreid")),
    ):
        _check_name(key, value, known)
    _check_datasets("DATASETS.TESTS", cfg.DATASETS.TESTS)
    check_test_sets(cfg)
    _check_backbone(model.BACKBONE)
    _check_heads(model)
    if model.META_ARCHITECTURE == "MGN":
        _check_mgn(cfg)
    world = comm.get_world_size()
    if world > cfg.TEST.IMS_PER_BATCH:
        raise ConfigError(
            f"TEST.IMS_PER_BATCH {cfg.TEST.IMS_PER_BATCH} leaves some of the {world} processes without an image: "
            "raise it."
        )


def check_training_config(cfg: Any) -> None:
    """Check what training needs in addition: data, sampler, batch, optimizer and schedule.

    Raises:
        ConfigError: as in `check_host_config`.
    """
    solver, data = cfg.SOLVER, cfg.DATALOADER
    for key, value, known in (
        ("DATALOADER.SAMPLER_TRAIN", data.SAMPLER_TRAIN, SAMPLERS),
        ("SOLVER.OPT", solver.OPT, optimizer_names()),
        ("SOLVER.SCHED", solver.SCHED, SCHEDULES),
        ("SOLVER.AMP.DTYPE", solver.AMP.DTYPE, AMP_DTYPES),
        ("SOLVER.WARMUP_METHOD", solver.WARMUP_METHOD, ("constant", "linear", "exp")),
        ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", solver.CLIP_GRADIENTS.CLIP_TYPE, ("value", "norm")),
    ):
        _check_name(key, value, known)
    if cfg.INPUT.PADDING.ENABLED:
        _check_name("INPUT.PADDING.MODE", cfg.INPUT.PADDING.MODE, PADDINGS)
    _check_datasets("DATASETS.NAMES", cfg.DATASETS.NAMES)
    if cfg.TEST.PRECISE_BN.ENABLED:
        _check_datasets("TEST.PRECISE_BN.DATASET", [cfg.TEST.PRECISE_BN.DATASET])
    if not cfg.DATASETS.NAMES:
        raise ConfigError("DATASETS.NAMES is empty: name at least one dataset to train on.")
    check_training_values(cfg)
    check_steps(solver)
    check_needs(cfg)
    check_training_group(cfg)
    check_training_sets(cfg)
    _check_batch(cfg)
    if cfg.MODEL.META_ARCHITECTURE == "Distiller":
        _check_teachers(cfg.KD)


def _check_name(key: str, value: Any, known: Iterable[str]) -> None:
    if value not in known:
        raise unknown_name(key, value, known)


def _check_datasets(key: str, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if own_folder(name) is None:
            _check_name(key, name, sorted(DATASET_REGISTRY._obj_map))
        if name in names[:number]:
            raise ConfigError(
                f"{key} names {name} twice, so that its images would count twice: leave one of them out."
            )


def _layers(module: Any) -> list[str]:
    """Return the names of the layers in a module of the host, including those that plug-ins have added."""
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, torch.nn.Module)
    ]


def _check_device(cfg: Any) -> None:
    """Refuse other devices of torch (mps, xla, meta), which have no loader here and were never tried."""
    match = re.fullmatch(r"cpu|cuda(?::(\d{1,4}))?", cfg.MODEL.DEVICE)
    if match is None:
        raise ConfigError(
            f"MODEL.DEVICE '{cfg.MODEL.DEVICE}' is not a supported device: use 'cuda', 'cuda:0' or 'cpu'."
        )
    if match[1] and torch.cuda.is_available() and int(match[1]) >= torch.cuda.device_count():
        raise ConfigError(
            f"MODEL.DEVICE '{cfg.MODEL.DEVICE}' does not exist: this machine has {torch.cuda.device_count()} CUDA "
            "devices, numbered from 0."
        )


def _check_backbone(backbone: Any) -> None:
    if backbone.NAME in CHECKOUT_ONLY and not os.path.isdir(CHECKOUT_FOLDER):
        raise ConfigError(
            f"MODEL.BACKBONE.NAME {backbone.NAME} reads files of a git checkout of FastReID: run from its "
            "folder, or use another backbone."
        )
    if backbone.NAME in BUILDERS:
        check_name(backbone.DEPTH)
    if backbone.NAME in DEPTHS:
        _check_name(f"MODEL.BACKBONE.DEPTH of {backbone.NAME}", backbone.DEPTH, DEPTHS[backbone.NAME])
    if backbone.NORM == "syncBN" and comm.get_world_size() > 1 and not torch.cuda.is_available():
        raise ConfigError("MODEL.BACKBONE.NORM 'syncBN' needs CUDA in several processes: use 'BN'.")


def _check_heads(model: Any) -> None:
    """Check that the architecture can use the head; FrozenBN fails at layers/weight_init.py:25."""
    heads, own = model.HEADS, model.META_ARCHITECTURE
    head = REID_HEADS_REGISTRY.get(heads.NAME)
    needed = head.architecture if isinstance(head, BelongsTo) else own
    if needed != own:
        raise ConfigError(
            f"MODEL.HEADS.NAME {heads.NAME} belongs to MODEL.META_ARCHITECTURE {needed}, not to {own}: use "
            "EmbeddingHead."
        )
    if heads.NORM == "FrozenBN" and heads.WITH_BNNECK:
        raise ConfigError("MODEL.HEADS.NORM 'FrozenBN' works in the backbone only: use 'BN' in the heads.")


def _check_mgn(cfg: Any) -> None:
    """Check the backbone and image size for MGN: mgn.py:105-119 needs a ResNet, mgn.py:194 cuts the map in three."""
    backbone = cfg.MODEL.BACKBONE
    if backbone.NAME != "build_resnet_backbone" or backbone.DEPTH not in ("50x", "101x"):
        raise ConfigError(
            "MODEL.META_ARCHITECTURE MGN needs MODEL.BACKBONE.NAME build_resnet_backbone with DEPTH 50x or "
            f"101x, not {backbone.NAME} {backbone.DEPTH}."
        )
    for key, size in (("INPUT.SIZE_TRAIN", cfg.INPUT.SIZE_TRAIN), ("INPUT.SIZE_TEST", cfg.INPUT.SIZE_TEST)):
        if cfg.INPUT.CROP.ENABLED:
            key, size = "INPUT.CROP.SIZE", cfg.INPUT.CROP.SIZE
        height = mgn_height(size[0])
        if size[0] > 0 and -(-height // -(-height // 3)) < 3:
            raise ConfigError(
                f"{key} {list(size)} gives MGN a feature map of height {height}, which cannot be cut into three parts: "
                "use a height of 96 or more."
            )


def mgn_height(pixels: int) -> int:
    """Return the height of the map that MGN cuts: after the stem and two strides of a ResNet."""
    half: Callable[[int], int] = lambda n: -(-n // 2)  # noqa: E731
    return half(half(half(half(pixels) - 3) + 1))


def _check_teachers(node: Any) -> None:
    """Check the teachers: distiller.py:127 divides by their number and reads a weights file for each config."""
    if not node.MODEL_CONFIG and not node.EMA.ENABLED:
        raise ConfigError(
            "KD.MODEL_CONFIG is empty: name the teacher's YAML file there and its weights in KD.MODEL_WEIGHTS, or set "
            "KD.EMA.ENABLED True."
        )
    if len(node.MODEL_CONFIG) != len(node.MODEL_WEIGHTS):
        raise ConfigError(
            f"KD.MODEL_CONFIG names {len(node.MODEL_CONFIG)} teachers but KD.MODEL_WEIGHTS {len(node.MODEL_WEIGHTS)} "
            "weights files: name one for each."
        )
    for path in node.MODEL_CONFIG:
        if not os.path.isfile(path):
            raise ConfigError(
                f"KD.MODEL_CONFIG names {path}, which does not exist: name the teacher's YAML file."
            )


def _check_batch(cfg: Any) -> None:
    """Check that the batch divides among processes and identities, and that it fills MoCo's queue (moco.py:79)."""
    batch, world = cfg.SOLVER.IMS_PER_BATCH, comm.get_world_size()
    per_identity = cfg.DATALOADER.NUM_INSTANCE
    if batch % world:
        raise ConfigError(f"SOLVER.IMS_PER_BATCH {batch} is not divisible by the {world} processes.")
    if cfg.DATALOADER.SAMPLER_TRAIN in IDENTITY_SAMPLERS and (batch // world) % per_identity:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH {batch} over {world} processes is not a multiple of DATALOADER.NUM_INSTANCE "
            f"{per_identity}: change one of them."
        )
    if cfg.MODEL.META_ARCHITECTURE == "MoCo" and cfg.MODEL.QUEUE_SIZE % batch:
        raise ConfigError(
            f"MODEL.QUEUE_SIZE {cfg.MODEL.QUEUE_SIZE} is not a multiple of SOLVER.IMS_PER_BATCH {batch}: change "
            "one of them."
        )
