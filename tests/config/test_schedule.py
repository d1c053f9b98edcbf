"""Where warm-up and drops of the learning rate come, in epochs: as the host has them, and as the papers say."""

import functools
import itertools
import math
import types

import pytest
import torch
from fastreid.engine import hooks
from fastreid.solver import build_lr_scheduler

from fastreid_projects.config import load_config
from fastreid_projects.config.checks import check_training_config
from fastreid_projects.config.schedule import check_steps, drop_epochs, warmup_iterations
from fastreid_projects.data.demo.plan import SPECS, SPLITS, plan_dataset
from fastreid_projects.engine.stages import build_stages
from fastreid_projects.errors import ConfigError
from tests.yaml_files import ROOT, RUNNABLE

# Training images as the datasets' authors have them.
IMAGES = {
    "Market1501": 12936,
    "DukeMTMC": 16522,
    "CUHK03": 7368,
    "CUHK03Detected": 7365,
    "MSMT17": 32621,
    "VeRi": 37778,
    "VehicleID": 113346,
    "CIFAR100": 50000,
    "DrawnCIFAR100": 2000,
    "FolderReID": 12936,  # a folder as large as Market-1501
    "DemoReID": sum(frame.split == SPLITS[0] for frame in plan_dataset(SPECS["A"]).frames),
    "DemoReIDOthers": sum(frame.split == SPLITS[0] for frame in plan_dataset(SPECS["P"]).frames),
}
# What begins a config's path and what it holds -> epochs of warm-up (begun ones count), epochs after which the rate
# falls (of a cosine the first fall), epochs in all; the first that fits counts. These are the papers' values, and where
# a paper is silent stand-ins that the config or this table names.
EXPECTED = {
    ("projects/AIRNet/configs/demo", ""): (1, [3], 4),  # small twins, from random weights
    ("projects/AIRNet", ""): (0, [40, 70], 200),  # sec. 4.2
    ("projects/AMD/configs/demo/amd_target", ""): (2, [4], 7),
    ("projects/AMD/configs/demo", ""): (1, [5], 12),
    ("projects/AMD/configs/mars_subset/amd_target", ""): (1, [2], 4),
    ("projects/AMD/configs/mars_subset", ""): (1, [], 2),
    ("projects/AMD", "amd_target_osnet"): (0, [60, 120], 150),  # torchreid's
    **{
        (f"projects/AMD/configs/{dataset}", f"amd_target_{method}"): (*values, 120)  # FastReID's BoT
        for dataset, values in {
            "market1501": (10, [49, 99]),
            "dukemtmc": (8, [47, 97]),
            "folderreid": (10, [49, 99]),
        }.items()
        for method in ("bagtricks", "circle")
    },
    ("projects/AMD", "amd_target"): (10, [31], 60),  # FastReID's SBS
    ("projects/AMD", ""): (10, [], 30),  # sec. 4.2; no drop is named
    ("projects/FIDI/configs/demo", "mgn"): (1, [4], 6),
    ("projects/FIDI/configs/demo", ""): (1, [5], 6),
    ("projects/FIDI", "bdb"): (50, [200, 300], 400),  # Dai et al. 2019, sec. 4.2
    ("projects/FIDI", "mgn"): (10, [31], 60),  # FastReID's MGN
    ("projects/FIDI", ""): (10, [40, 70], 120),  # BoT, Luo et al. 2020
    ("projects/MPN/configs/demo", ""): (0, [6], 8),
    ("projects/MPN", ""): (0, [20, 40, 60], 70),  # sec. 5.1: every 20 epochs
    ("projects/SAL/configs/cifar100", ""): (1, [100, 150], 200),  # the usual; the paper names none
    ("projects/SAL/configs/demo", "cifar"): (1, [8], 12),
    ("projects/SAL", ""): (0, [50, 100], 150),  # sec. 4.1: every 50 epochs
    ("configs/demo", "pretrain"): (1, [8, 11], 12),
    ("configs/demo", "mgn"): (1, [4], 6),
    ("configs/demo", "sbs"): (2, [4], 7),
    ("configs/demo", ""): (1, [5], 6),
    ("configs", "mgn"): (10, [31], 60),  # FastReID's own, as all below
    ("configs", "sbs"): (10, [31], 60),
    ("configs/market1501", "vit"): (5, [6], 120),  # TransReID's baseline
    ("configs/market1501", ""): (10, [49, 99], 120),
    ("configs/cuhk03_labeled", ""): (10, [49, 99], 120),  # FastReID has none; as on Market-1501
    ("configs/dukemtmc", ""): (8, [47, 97], 120),
    ("configs/msmt17", ""): (4, [43, 93], 120),
}
# FastReID's 2000 iterations of warm-up on its other datasets.
FASTREID_WARMUP = {"dukemtmc": 8, "msmt17": 4}
# Stages before a config's own, of the small twins and of own pictures: (name, epochs) -> epochs of warm-up, drops.
STAGES = {
    ("ide", 8): (0, [6]),
    ("mpn", 8): (1, [6]),
    ("target", 7): (2, [4]),
    ("target", 4): (1, [2]),
    ("target", 120): (10, [49, 99]),  # FastReID's BoT
    ("softmax", 6): (0, [3, 5]),
    ("softmax", 4): (0, [3]),
    ("quadruplet", 6): (0, [3, 5]),
    ("quadruplet", 2): (0, [1]),
}


def relative(path):
    return str(path.relative_to(ROOT))


def iterations(cfg):
    """Iterations of an epoch, as the host counts them (engine/defaults.py:218)."""
    images = IMAGES[cfg.DATASETS.NAMES[0]]
    if cfg.MODEL.META_ARCHITECTURE == "MPN" and cfg.MODEL.MPN.TRANSLATION.MODE == "offline":
        images *= cfg.MODEL.MPN.TRANSLATION.FOLD
    return images // cfg.SOLVER.IMS_PER_BATCH


@functools.cache
def simulate(sched, base, warmup_iters, warmup_epochs, delay, steps, epochs, per_epoch):
    """Train nothing with the host's hook on its own schedules.

    Returns:
        Epochs of warm-up, begun ones counted; epochs after which the rate falls, of a cosine the first.
    """
    values = (sched, base, warmup_iters, warmup_epochs, delay, list(steps), epochs)
    names = ("SCHED", "BASE_LR", "WARMUP_ITERS", "WARMUP_EPOCHS", "DELAY_EPOCHS", "STEPS", "MAX_EPOCH")
    cfg = config(**dict(zip(names, values, strict=True)))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base)
    hook = hooks.LRScheduler(optimizer, build_lr_scheduler(cfg, optimizer, per_epoch))
    trainer = hook.trainer = types.SimpleNamespace(
        iter=0,
        epoch=0,
        warmup_iters=warmup_iterations(cfg.SOLVER, per_epoch),
        delay_epochs=delay,
        grad_scaler=None,
        storage=types.SimpleNamespace(put_scalar=lambda *_, **__: None),
    )
    optimizer.step()  # before the schedule's first step, as PyTorch wants it
    rates = []
    for trainer.epoch in range(epochs):
        for _ in range(per_epoch):
            rates.append(optimizer.param_groups[0]["lr"])
            hook.after_step()
            trainer.iter += 1
        hook.after_epoch()
    full = next(i for i, rate in enumerate(rates) if rate >= max(rates) * 0.999999)
    falls = [i / per_epoch for i, (a, b) in enumerate(itertools.pairwise(rates), start=1) if b < a]
    return math.ceil(full / per_epoch), falls[:1] if sched == "CosineAnnealingLR" else falls


def config(**solver):
    cfg = load_config("")
    for key, value in solver.items():
        cfg.SOLVER[key] = value
    return cfg


def expected(path, stage):
    name = relative(path)
    twin = STAGES.get((stage.name, stage.cfg.SOLVER.MAX_EPOCH))
    if path.parent.name in ("demo", "folderreid", "mars_subset") and twin:
        return (*twin, stage.cfg.SOLVER.MAX_EPOCH)
    warmup, *rest = next(
        v for (start, part), v in EXPECTED.items() if name.startswith(start) and part in name
    )
    if rest == [[31], 60] and not name.startswith("projects/FIDI"):
        warmup = FASTREID_WARMUP.get(path.parent.name, warmup)
    return (warmup, *rest)


@pytest.mark.parametrize("path", RUNNABLE, ids=relative)
def test_the_schedule_is_the_papers(path):
    for stage in build_stages(load_config(str(path))):
        solver, per_epoch = stage.cfg.SOLVER, iterations(stage.cfg)
        found = simulate(
            solver.SCHED,
            solver.BASE_LR,
            solver.WARMUP_ITERS,
            solver.WARMUP_EPOCHS,
            solver.DELAY_EPOCHS,
            tuple(solver.STEPS),
            solver.MAX_EPOCH,
            per_epoch,
        )
        assert (*found, solver.MAX_EPOCH) == expected(path, stage)
        if solver.SCHED == "MultiStepLR":
            assert drop_epochs(solver, per_epoch) == found[1]


@pytest.mark.parametrize("warmup", [0, 1, 4, 5, 6, 10, 11])
@pytest.mark.parametrize("delay", [0, 2, 3])
def test_drops_are_where_the_host_has_them(warmup, delay):
    cfg = config(WARMUP_ITERS=warmup, DELAY_EPOCHS=delay, STEPS=[2, 4], MAX_EPOCH=10)
    _, falls = simulate("MultiStepLR", 0.1, warmup, 0, delay, (2, 4), 10, per_epoch=5)
    assert drop_epochs(cfg.SOLVER, 5) == falls


def test_a_warm_up_in_epochs_follows_the_training_set():
    cfg = config(WARMUP_ITERS=0, WARMUP_EPOCHS=3, STEPS=[2], MAX_EPOCH=6)
    for per_epoch in (5, 50):
        assert warmup_iterations(cfg.SOLVER, per_epoch) == 3 * per_epoch
        assert simulate("MultiStepLR", 0.1, 0, 3, 0, (2,), 6, per_epoch) == (3, [4])
    with pytest.raises(ConfigError, match=r"WARMUP_EPOCHS 3 and SOLVER\.WARMUP_ITERS 7 both"):
        check_steps(config(WARMUP_ITERS=7, WARMUP_EPOCHS=3).SOLVER)


def test_a_step_without_effect_is_named():
    late = config(STEPS=[4, 6, 9], WARMUP_ITERS=0, MAX_EPOCH=6)
    with pytest.raises(
        ConfigError, match=r"STEPS \[4, 6, 9\]: 6 and 9 would .* after 6 and 9 epochs.*\"\[4\]\""
    ):
        check_training_config(late)
    shifted = config(STEPS=[4, 5], WARMUP_ITERS=50, MAX_EPOCH=6)
    check_training_config(shifted)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with pytest.raises(ConfigError, match=r"5 would lower the learning rate after 6 epochs"):
        build_lr_scheduler(shifted, optimizer, 47)
    build_lr_scheduler(shifted, optimizer, 50)
    check_training_config(config(STEPS=[40], SCHED="CosineAnnealingLR", MAX_EPOCH=6, WARMUP_ITERS=0))


def test_the_hosts_default_steps_are_only_warned_of(host_log):
    check_training_config(config(MAX_EPOCH=40, WARMUP_ITERS=0))
    assert "SOLVER.STEPS [30, 55]: 55 would lower" in host_log.text
