"""MPN's benchmark cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from fastreid.modeling.meta_arch import build_model
from fastreid.utils.events import EventStorage

from fastreid_projects.benchmarks.measure import Measurement, compare
from fastreid_projects.config import load_config

from .data.part_masks import HEAD, LEG
from .reference import PlainMPNHead

MPN_ROWS = {
    "MPN": "projects/MPN/configs/ablations/mpn_no_attention_r50_market1501.yml",
    "MT only": "projects/MPN/configs/ablations/mpn_main_task_r50_market1501.yml",
    "baseline (PCB's stripes)": "projects/MPN/configs/ablations/mpn_auxiliary_tasks_uniform_r50_market1501.yml",
}


def _mpn(row: str, size: tuple[int, int], device: str) -> Any:
    opts = ["MODEL.DEVICE", device, "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.HEADS.NUM_CLASSES", "751"]
    torch.manual_seed(0)
    return build_model(load_config(MPN_ROWS[row], [*opts, "INPUT.SIZE_TEST", str(list(size))]))


def mpn_training(quick: bool, device: str) -> list[Measurement]:
    """Compare training steps of table 1's rows without channel attention, and of MPN with a layer per part and task.

    The batch is four images of 384x128 on a CPU in float32, or 48 on a GPU in mixed precision.
    """
    size, batch = ((96, 32), 4) if quick else ((384, 128), 48 if device == "cuda" else 4)
    masks = torch.zeros(batch, *size, dtype=torch.uint8)
    masks[:, size[0] // 10 : size[0] // 4, size[1] // 4 : -size[1] // 4] = HEAD
    masks[:, size[0] // 4 : -size[0] // 10, size[1] // 4 : -size[1] // 4] = LEG
    data = {"images": torch.rand(batch, 3, *size) * 255, "targets": torch.arange(batch) // 2}
    data |= {"part_masks": masks, "whole_part_masks": masks}
    data = {key: value.to(device) for key, value in data.items()}

    def step(row: str, plain: bool = False) -> Callable[[], None]:
        model = _mpn(row, size, device).train()
        if plain:
            model.heads.forward = PlainMPNHead(model.heads).to(device).train().forward
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

        def run() -> None:
            with EventStorage(0), torch.autocast(device, enabled=device == "cuda"):
                loss = sum(model(data).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return run

    ways = [("MPN, a layer for each part and task", step("MPN", plain=True))]
    ways += [(row, step(row)) for row in ("MPN", "baseline (PCB's stripes)", "MT only")]
    repeats = 1 if quick else (30 if device == "cuda" else 4)
    return compare("MPN, training step", ways, repeats=repeats, device=device)


def mpn_inference(quick: bool, device: str) -> list[Measurement]:
    """Compare features of 4 images of 384x128 on a CPU, or 128 on a GPU."""
    size, batch = ((96, 32), 2) if quick else ((384, 128), 128 if device == "cuda" else 4)
    images = torch.rand(batch, 3, *size, device=device) * 255
    models = {row: _mpn(row, size, device).eval() for row in MPN_ROWS if row != "MT only"}

    def run(model: torch.nn.Module) -> Callable[[], Any]:
        return torch.no_grad()(lambda: model(images))

    ways = [(row, run(models[row])) for row in ("MPN", "baseline (PCB's stripes)")]
    repeats = 1 if quick else (30 if device == "cuda" else 9)
    return compare("MPN, inference", ways, repeats=repeats, device=device)


CASES = {"mpn_training": mpn_training, "mpn_inference": mpn_inference}
