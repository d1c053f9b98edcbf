"""AIR-Net's benchmark cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from fastreid.modeling.meta_arch import build_model

from fastreid_projects.benchmarks.cost import model_cost
from fastreid_projects.benchmarks.measure import Measurement, compare
from fastreid_projects.benchmarks.steps import plain_step
from fastreid_projects.config import load_config

from .pooling import attention_pool_plain

# Models that are compared at AIR-Net's 384x192, by their configs; the baseline is BoT, the last one.
MODELS = {
    "AIR-Net, IBN-ResNet-50": "projects/AIRNet/configs/market1501/airnet_r50ibn_market1501.yml",
    "AIR-Net, ResNet-50": "projects/AIRNet/configs/market1501/airnet_context_blocks_r50_market1501.yml",
    "MGN, ResNet-50": "configs/market1501/mgn_r50_market1501.yml",
    "BoT, ResNet-50": "configs/market1501/bagtricks_r50_market1501.yml",
}


def _model(name: str, size: tuple[int, int], classes: int, device: str) -> torch.nn.Module:
    sizes = ["INPUT.SIZE_TRAIN", str(list(size)), "INPUT.SIZE_TEST", str(list(size))]
    opts = [
        "MODEL.DEVICE",
        device,
        "MODEL.BACKBONE.PRETRAIN",
        "False",
        "MODEL.HEADS.NUM_CLASSES",
        str(classes),
    ]
    return build_model(load_config(MODELS[name], [*opts, *sizes]))


def models_inference(quick: bool, device: str) -> list[Measurement]:
    """Compare features of four images; also count parameters without classifiers, and operations."""
    size, batch = ((96, 48), 1) if quick else ((384, 192), 4)
    images = torch.rand(batch, 3, *size, device=device) * 255
    models = {name: _model(name, size, classes=0, device=device).eval() for name in MODELS}

    def run(model: torch.nn.Module) -> Callable[[], Any]:
        return torch.no_grad()(lambda: model(images))

    ways = [(name, run(model)) for name, model in models.items()]
    costs = {name: model_cost(model, size) for name, model in models.items()}
    return compare("inference", ways, repeats=1 if quick else 5, device=device, costs=costs)


def models_training(quick: bool, device: str) -> list[Measurement]:
    """Compare training steps with eight images of four identities and Adam, with the losses of each config."""
    size = (96, 48) if quick else (384, 192)
    data = {"images": torch.rand(8, 3, *size) * 255, "targets": torch.arange(8) // 2}

    def step(name: str) -> Callable[[], None]:
        model = _model(name, size, classes=751, device=device).train()
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-5)
        return plain_step(model, data, optimizer)

    return compare(
        "models, training step", [(n, step(n)) for n in MODELS], repeats=1 if quick else 3, device=device
    )


def attention_pooling(quick: bool, device: str) -> list[Measurement]:
    """Compare poolings of the interaction branch's last map with its 5th stage: four 384x192 images, C=2048, 24x12."""
    size = (64, 32) if quick else (384, 192)
    model: Any = _model("AIR-Net, IBN-ResNet-50", size, classes=0, device=device).eval()
    branch, pool = model.branches[1], model.heads["2b"].pool_layer
    shared = torch.rand(4, 1024, size[0] // 16, size[1] // 16, device=device)
    with torch.no_grad():
        maps = branch(shared)

    def run(way: Callable[[torch.Tensor], Any], inputs: torch.Tensor) -> Callable[[], Any]:
        return torch.no_grad()(lambda: way(inputs))

    ways: list[tuple[str, Callable[[], Any]]] = [
        ("W_v^T (X^T (X W_u))", run(pool, maps)),
        ("(X W_v)^T (X W_u)", run(lambda x: attention_pool_plain(x, pool.w_u, pool.w_v), maps)),
        ("global maximum", run(model.heads["2a"].pool_layer, maps)),
        ("the branch's stage", run(branch, shared)),
    ]
    return compare("attention pooling", ways, repeats=3 if quick else 15, device=device)


CASES = {
    "models_inference": models_inference,
    "models_training": models_training,
    "attention_pooling": attention_pooling,
}
