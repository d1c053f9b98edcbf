"""Patches of the host's optimizer and learning-rate schedule (solver/build.py)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from fastreid.config.defaults import _C
from fastreid.solver import build as host_build
from fastreid.solver import optim as host_optim

from fastreid_projects.config.names import unknown_name
from fastreid_projects.config.schedule import check_steps, warmup_iterations
from fastreid_projects.config.solvers import SCHEDULES, optimizer_names
from fastreid_projects.errors import ConfigError
from fastreid_projects.host_import import rebind
from fastreid_projects.modeling.layer_decay import rate_factors

_host_build_lr_scheduler = host_build.build_lr_scheduler


def patch_optimizer() -> None:
    """Replace the host's build_optimizer and build_lr_scheduler; add SOLVER.WARMUP_EPOCHS to the defaults.

    solver/build.py:180 builds the optimizer on flat buffers (ContiguousParams). Since PyTorch 2,
    ``optimizer.zero_grad()`` (engine/train_loop.py:248) sets their gradients to None, so that no weight ever
    moves.
    """
    if "WARMUP_EPOCHS" not in _C.SOLVER:
        # Length of the warm-up in epochs, for any batch size and training set; SOLVER.WARMUP_ITERS has to be 0 then.
        _C.SOLVER.WARMUP_EPOCHS = 0
    rebind(host_build.build_optimizer, build_optimizer)
    rebind(_host_build_lr_scheduler, build_lr_scheduler)
    host_build._generate_optimizer_class_with_freeze_layer = freezing_optimizer


def build_optimizer(
    cfg: Any, model: torch.nn.Module, contiguous: bool = False
) -> tuple[torch.optim.Optimizer, list[dict[str, Any]]]:
    """Build the optimizer of ``cfg.SOLVER`` directly on the model's parameters.

    Parameters with equal settings share a group, so that PyTorch updates them together.

    Args:
        cfg: the config.
        model: the model, whose parameters with ``requires_grad`` are trained.
        contiguous: accepted for the host's callers, but never used, because flat buffers do not train on PyTorch 2.

    Returns:
        The optimizer and its parameter groups.

    Raises:
        ConfigError: SOLVER.OPT is unknown, a layer to freeze does not exist, or there is nothing to train.
    """
    name = cfg.SOLVER.OPT
    if name not in optimizer_names():
        raise unknown_name("SOLVER.OPT", name, optimizer_names())
    frozen = cfg.MODEL.FREEZE_LAYERS if cfg.SOLVER.FREEZE_ITERS > 0 else []
    check_layers(model, frozen)
    groups = group_parameters(cfg, model, frozen)
    if not groups:
        raise ConfigError(
            "No parameter of the model is trainable (all have requires_grad False): "
            "unfreeze some of them, or only evaluate with --eval-only."
        )
    kind = host_build.maybe_add_gradient_clipping(cfg, getattr(host_optim, name))
    kind = host_build.maybe_add_freeze_layer(cfg, kind)
    extra = {"momentum": cfg.SOLVER.MOMENTUM, "nesterov": cfg.SOLVER.NESTEROV} if name == "SGD" else {}
    if "TRAINING" in cfg and cfg.TRAINING.FUSED:
        extra["fused"] = True
    return kind(groups, **extra), groups


def group_parameters(cfg: Any, model: torch.nn.Module, frozen: Iterable[str]) -> list[dict[str, Any]]:
    """Join those of the host's groups, which hold one parameter each, that have equal settings.

    solver/build.py:302 freezes all names that start with the pattern, so that ``b1`` also freezes ``b1_head``;
    here, an entry of MODEL.FREEZE_LAYERS means that layer and everything below it. SOLVER.LAYER_DECAY
    scales the learning rates.
    """
    solver = cfg.SOLVER
    single = host_build.get_default_optimizer_params(
        model,
        base_lr=solver.BASE_LR,
        weight_decay=solver.WEIGHT_DECAY,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        heads_lr_factor=solver.HEADS_LR_FACTOR,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
    )
    prefixes = tuple(f"{layer}." for layer in frozen)
    names = {parameter: name for name, parameter in model.named_parameters()}
    factors = rate_factors(model, solver.get("LAYER_DECAY", 1.0))
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for group in single:
        (parameter,) = group["params"]
        group["lr"] *= factors[names[parameter]]
        group["freeze_status"] = "freeze" if names[parameter].startswith(prefixes) else "normal"
        key = tuple(sorted((k, v) for k, v in group.items() if k != "params"))
        groups.setdefault(key, {**group, "params": []})["params"].append(parameter)
    return list(groups.values())


def check_layers(model: torch.nn.Module, layers: Iterable[str]) -> None:
    """Refuse an entry of MODEL.FREEZE_LAYERS that does not name a layer; engine/hooks.py:481 ignores it."""
    known = dict(model.named_modules())
    for layer in layers:
        if layer not in known or not layer:
            raise unknown_name("MODEL.FREEZE_LAYERS", layer, [name for name, _ in model.named_children()])


def freezing_optimizer(
    optimizer: type[torch.optim.Optimizer], *, freeze_iters: int = 0
) -> type[torch.optim.Optimizer]:
    """Derive an optimizer that skips the groups with ``freeze_status == "freeze"`` for ``freeze_iters`` steps.

    solver/build.py:127 counts in a closure, which restarts at 0 after a resume; here ``steps_done`` can be set.
    """

    @torch.no_grad()
    def step(self: Any, closure: Any = None) -> None:
        self.steps_done += 1
        hidden: list[tuple[torch.Tensor, torch.Tensor]] = []
        if self.steps_done <= freeze_iters:
            frozen = (group["params"] for group in self.param_groups if group["freeze_status"] == "freeze")
            hidden = [(p, p.grad) for params in frozen for p in params if p.grad is not None]
        for parameter, _ in hidden:
            parameter.grad = None
        optimizer.step(self, closure)
        for parameter, gradient in hidden:
            parameter.grad = gradient

    return type(optimizer.__name__ + "WithFreezeLayer", (optimizer,), {"step": step, "steps_done": 0})


def build_lr_scheduler(cfg: Any, optimizer: torch.optim.Optimizer, iters_per_epoch: int) -> dict[str, Any]:
    """Build the host's schedules, with a warm-up in iterations or in epochs.

    Cosine annealing gets at least one epoch, even if the warm-up takes the whole run: solver/build.py:313 divides by 0
    for a dataset smaller than a batch, and CosineAnnealingLR by T_max = 0 if no epoch is left after the warm-up.

    Raises:
        ConfigError: SOLVER.SCHED is unknown, an epoch has no iteration, or a step has no effect.
    """
    cfg = cfg.clone()
    cfg.defrost()
    solver = cfg.SOLVER
    if solver.SCHED not in SCHEDULES:
        raise unknown_name("SOLVER.SCHED", solver.SCHED, SCHEDULES)
    if iters_per_epoch < 1:
        raise ConfigError(
            f"The training set has fewer images than SOLVER.IMS_PER_BATCH {solver.IMS_PER_BATCH}: "
            "lower SOLVER.IMS_PER_BATCH or add images."
        )
    check_steps(solver, iters_per_epoch)
    solver.WARMUP_ITERS = warmup_iterations(solver, iters_per_epoch)
    before = max(math.ceil(solver.WARMUP_ITERS / iters_per_epoch), solver.DELAY_EPOCHS)
    solver.MAX_EPOCH = max(solver.MAX_EPOCH, before + 1)
    return _host_build_lr_scheduler(cfg, optimizer, iters_per_epoch)
