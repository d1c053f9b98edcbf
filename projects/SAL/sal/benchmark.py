"""SAL's benchmark case."""

from __future__ import annotations

from collections.abc import Callable

import torch

from fastreid_projects.benchmarks.measure import Measurement, compare
from fastreid_projects.benchmarks.steps import plain_step
from fastreid_projects.config import load_config
from fastreid_projects.engine.trainer import Trainer

SAL_MODELS = {
    "dilated, stage6": ("market1501/sal_r50_market1501", False),
    "dilated, stage6, activation checkpointing": ("market1501/sal_r50_market1501", True),
    "plain ResNet-50, stride 32": ("ablations/sal_ce_quadruplet_r50_market1501", False),
}


def sal_training(quick: bool, device: str) -> list[Measurement]:
    """Compare training steps with six 256x128 images of three identities and SGD, in SAL's second stage."""
    size = (64, 32) if quick else (256, 128)
    data = {"images": torch.rand(6, 3, *size) * 255, "targets": torch.arange(6) // 2}

    def step(config: str, checkpointing: bool) -> Callable[[], None]:
        keys = [("DEVICE", device), ("BACKBONE.PRETRAIN", "False"), ("HEADS.NUM_CLASSES", "751")]
        keys += [("BACKBONE.ACTIVATION_CHECKPOINTING", str(checkpointing))]
        opts = [text for key, value in keys for text in (f"MODEL.{key}", value)]
        model = Trainer.build_model(load_config(f"projects/SAL/configs/{config}.yml", opts)).train()
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-5)
        return plain_step(model, data, optimizer)

    ways = [(name, step(*model)) for name, model in SAL_MODELS.items()]
    return compare("SAL, training step", ways, repeats=1, device=device)


CASES = {"sal_training": sal_training}
