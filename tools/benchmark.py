"""Ratios and peak memory, side by side in one process: python tools/benchmark.py [--case NAME] [--quick]."""

import fastreid_projects.required  # noqa: F401  (mends the host before anything of it is imported)

# isort: split
import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastreid.engine.train_loop import SimpleTrainer
from fastreid.evaluation.rank import evaluate_py
from fastreid.modeling.losses import triplet_loss
from fastreid.modeling.meta_arch import build_model
from fastreid.solver import build_optimizer
from fastreid.utils.compute_dist import compute_jaccard_distance
from fastreid.utils.events import EventStorage

from fastreid_projects.airnet.pooling import attention_pool_plain
from fastreid_projects.amd import benchmark as amd_benchmark
from fastreid_projects.benchmarks.cost import model_cost
from fastreid_projects.benchmarks.measure import Measurement, compare, count_processor_time, report
from fastreid_projects.benchmarks.throughput import compare_processes
from fastreid_projects.commands import one_sentence
from fastreid_projects.config import load_config
from fastreid_projects.engine.trainer import Trainer
from fastreid_projects.evaluation.ranking import RankingMeter
from fastreid_projects.evaluation.reranking import iter_jaccard_distances
from fastreid_projects.fidi.contrastive import batch_hard_contrastive_loss
from fastreid_projects.fidi.losses import fidi_loss
from fastreid_projects.files import check_writable
from fastreid_projects.losses import batch_hard_triplet_loss
from fastreid_projects.mpn.data.part_masks import HEAD, LEG
from fastreid_projects.mpn.reference import PlainMPNHead
from fastreid_projects.sal.losses import quadruplet_hard_loss

ROOT = Path(__file__).resolve().parents[1]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def ranking(quick: bool) -> list[Measurement]:
    """CMC, mAP and mINP of a distance matrix; Market-1501's size, a tenth of the queries."""
    queries, gallery = (60, 500) if quick else (336, 15913)
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 751, queries), rng.integers(0, 751, gallery)]
    cameras = [rng.integers(0, 6, queries), rng.integers(0, 6, gallery)]
    distances = rng.random((queries, gallery), dtype=np.float32)

    def ours() -> None:
        meter = RankingMeter(labels[1], cameras[1])
        for start in range(0, queries, 256):
            rows = slice(start, start + 256)
            meter.update(distances[rows], labels[0][rows], cameras[0][rows])
        meter.compute()

    def host() -> None:
        evaluate_py(distances, labels[0], labels[1], cameras[0], cameras[1], 50, False)

    return compare(
        "ranking", [("vectorised, chunked", ours), ("host, Python", host)], repeats=1 if quick else 3
    )


def training_step(quick: bool) -> list[Measurement]:
    """A step of SBS with ResNet-18 by the mended trainer, and by a plain torch loop of the same model."""
    size, batch = ((64, 32), 8) if quick else ((128, 64), 32)
    opts: list[str] = ["MODEL.DEVICE", DEVICE, "MODEL.HEADS.NUM_CLASSES", "100"]
    cfg = load_config(str(ROOT / "configs" / "demo" / "sbs_r18_demo.yml"), opts)
    data = {"images": torch.rand(batch, 3, *size) * 255, "targets": torch.arange(batch) // 4}

    def trainer() -> Callable[[], None]:
        model = build_model(cfg)
        loop = SimpleTrainer(model, _Forever(data), *build_optimizer(cfg, model))
        loop.iter = 0

        def run() -> None:
            with EventStorage(0) as loop.storage:
                loop.run_step()

        return run

    def plain() -> Callable[[], None]:
        model = build_model(cfg).train()
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY)

        def run() -> None:
            with EventStorage(0):
                loss = sum(model(data).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return run

    ways = [("mended trainer", trainer()), ("plain torch loop", plain())]
    return compare("training step", ways, repeats=3 if quick else 15, device=DEVICE)


# Models compared at AIR-Net's 384x192, the last one being BoT; all by their configs.
MODELS = {
    "AIR-Net, IBN-ResNet-50": "projects/AIRNet/configs/market1501/airnet_r50ibn_market1501.yml",
    "AIR-Net, ResNet-50": "projects/AIRNet/configs/market1501/airnet_context_blocks_r50_market1501.yml",
    "MGN, ResNet-50": "configs/market1501/mgn_r50_market1501.yml",
    "BoT, ResNet-50": "configs/market1501/bagtricks_r50_market1501.yml",
}


def _model(name: str, size: tuple[int, int], classes: int) -> torch.nn.Module:
    sizes = ["INPUT.SIZE_TRAIN", str(list(size)), "INPUT.SIZE_TEST", str(list(size))]
    opts = [
        "MODEL.DEVICE",
        DEVICE,
        "MODEL.BACKBONE.PRETRAIN",
        "False",
        "MODEL.HEADS.NUM_CLASSES",
        str(classes),
    ]
    return build_model(load_config(str(ROOT / MODELS[name]), [*opts, *sizes]))


def models_inference(quick: bool) -> list[Measurement]:
    """Features of four images; parameters without classifiers, and operations."""
    size, batch = ((96, 48), 1) if quick else ((384, 192), 4)
    images = torch.rand(batch, 3, *size, device=DEVICE) * 255
    models = {name: _model(name, size, classes=0).eval() for name in MODELS}

    def run(model: torch.nn.Module) -> Callable[[], Any]:
        return torch.no_grad()(lambda: model(images))

    ways = [(name, run(model)) for name, model in models.items()]
    costs = {name: model_cost(model, size) for name, model in models.items()}
    return compare("inference", ways, repeats=1 if quick else 5, device=DEVICE, costs=costs)


def models_training(quick: bool) -> list[Measurement]:
    """Forward, backward and Adam's update of eight images of four identities, by the losses of each config."""
    size = (96, 48) if quick else (384, 192)
    data = {"images": torch.rand(8, 3, *size) * 255, "targets": torch.arange(8) // 2}

    def step(name: str) -> Callable[[], None]:
        model = _model(name, size, classes=751).train()
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-5)

        def run() -> None:
            with EventStorage(0):
                loss = sum(model(data).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return run

    return compare(
        "models, training step", [(n, step(n)) for n in MODELS], repeats=1 if quick else 3, device=DEVICE
    )


def attention_pooling(quick: bool) -> list[Measurement]:
    """Poolings of the interaction branch's last map beside its 5th stage, four images of 384x192: C=2048, 24x12."""
    size = (64, 32) if quick else (384, 192)
    model: Any = _model("AIR-Net, IBN-ResNet-50", size, classes=0).eval()
    branch, pool = model.branches[1], model.heads["2b"].pool_layer
    shared = torch.rand(4, 1024, size[0] // 16, size[1] // 16, device=DEVICE)
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
    return compare("attention pooling", ways, repeats=3 if quick else 15, device=DEVICE)


MPN_ROWS = {
    "MPN": "projects/MPN/configs/ablations/mpn_no_attention_r50_market1501.yml",
    "MT only": "projects/MPN/configs/ablations/mpn_main_task_r50_market1501.yml",
    "baseline (PCB's stripes)": "projects/MPN/configs/ablations/mpn_auxiliary_tasks_uniform_r50_market1501.yml",
}


def _mpn(row: str, size: tuple[int, int]) -> Any:
    opts = ["MODEL.DEVICE", DEVICE, "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.HEADS.NUM_CLASSES", "751"]
    torch.manual_seed(0)
    return build_model(load_config(str(ROOT / MPN_ROWS[row]), [*opts, "INPUT.SIZE_TEST", str(list(size))]))


def mpn_training(quick: bool) -> list[Measurement]:
    """A step of table 1's rows without channel attention, with masks; and MPN with a layer for each part and task.

    Four images of 384x128 on a CPU in float32, 48 on a GPU in mixed precision.
    """
    size, batch = ((96, 32), 4) if quick else ((384, 128), 48 if DEVICE == "cuda" else 4)
    masks = torch.zeros(batch, *size, dtype=torch.uint8)
    masks[:, size[0] // 10 : size[0] // 4, size[1] // 4 : -size[1] // 4] = HEAD
    masks[:, size[0] // 4 : -size[0] // 10, size[1] // 4 : -size[1] // 4] = LEG
    data = {"images": torch.rand(batch, 3, *size) * 255, "targets": torch.arange(batch) // 2}
    data |= {"part_masks": masks, "whole_part_masks": masks}
    data = {key: value.to(DEVICE) for key, value in data.items()}

    def step(row: str, plain: bool = False) -> Callable[[], None]:
        model = _mpn(row, size).train()
        if plain:
            model.heads.forward = PlainMPNHead(model.heads).to(DEVICE).train().forward
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

        def run() -> None:
            with EventStorage(0), torch.autocast(DEVICE, enabled=DEVICE == "cuda"):
                loss = sum(model(data).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return run

    ways = [("MPN, a layer for each part and task", step("MPN", plain=True))]
    ways += [(row, step(row)) for row in ("MPN", "baseline (PCB's stripes)", "MT only")]
    repeats = 1 if quick else (30 if DEVICE == "cuda" else 4)
    return compare("MPN, training step", ways, repeats=repeats, device=DEVICE)


def mpn_inference(quick: bool) -> list[Measurement]:
    """Features of 4 images of 384x128 on a CPU, 128 on a GPU."""
    size, batch = ((96, 32), 2) if quick else ((384, 128), 128 if DEVICE == "cuda" else 4)
    images = torch.rand(batch, 3, *size, device=DEVICE) * 255
    models = {row: _mpn(row, size).eval() for row in MPN_ROWS if row != "MT only"}

    def run(model: torch.nn.Module) -> Callable[[], Any]:
        return torch.no_grad()(lambda: model(images))

    ways = [(row, run(models[row])) for row in ("MPN", "baseline (PCB's stripes)")]
    repeats = 1 if quick else (30 if DEVICE == "cuda" else 9)
    return compare("MPN, inference", ways, repeats=repeats, device=DEVICE)


SAL_MODELS = {
    "dilated, stage6": ("market1501/sal_r50_market1501", False),
    "dilated, stage6, activation checkpointing": ("market1501/sal_r50_market1501", True),
    "plain ResNet-50, stride 32": ("ablations/sal_ce_quadruplet_r50_market1501", False),
}


def sal_training(quick: bool) -> list[Measurement]:
    """Forward, backward and SGD's update of six images of three identities at 256x128, by SAL's second stage."""
    size = (64, 32) if quick else (256, 128)
    data = {"images": torch.rand(6, 3, *size) * 255, "targets": torch.arange(6) // 2}

    def step(config: str, checkpointing: bool) -> Callable[[], None]:
        keys = [("DEVICE", DEVICE), ("BACKBONE.PRETRAIN", "False"), ("HEADS.NUM_CLASSES", "751")]
        keys += [("BACKBONE.ACTIVATION_CHECKPOINTING", str(checkpointing))]
        opts = [text for key, value in keys for text in (f"MODEL.{key}", value)]
        path = ROOT / "projects" / "SAL" / "configs" / f"{config}.yml"
        model = Trainer.build_model(load_config(str(path), opts)).train()
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-5)

        def run() -> None:
            with EventStorage(0):
                loss = sum(model(data).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return run

    ways = [(name, step(*model)) for name, model in SAL_MODELS.items()]
    return compare("SAL, training step", ways, repeats=1, device=DEVICE)


def reranking(quick: bool) -> list[Measurement]:
    """k-reciprocal re-ranking of random features at Market-1501's size; both have to give the same distances."""
    queries, gallery, size = (40, 400, 64) if quick else (3368, 15913, 512)
    features = torch.randn(queries + gallery, size, generator=torch.Generator().manual_seed(0))
    features = torch.nn.functional.normalize(features, dim=1)
    last: dict[str, Any] = {}

    def ours() -> None:
        chunks = iter_jaccard_distances(features[:queries], features[queries:], device=DEVICE)
        last["ours"] = next(rows for _, rows in chunks)[:40].copy()
        for _ in chunks:
            pass

    def host() -> None:
        whole = compute_jaccard_distance(features, k1=20, k2=6, search_option=3)
        last["host"] = whole[:40, queries:].copy()

    measured = compare("re-ranking", [("sparse, chunked", ours), ("host", host)], repeats=1, device=DEVICE)
    np.testing.assert_allclose(last["ours"], last["host"], atol=1e-4)
    return measured


def pair_losses(quick: bool) -> list[Measurement]:
    """Losses of pairs, forward and backward, beside the host's batch-hard triplet loss: 128 images, 2048-d.

    Batches of noise, of 8 identities whose images are near each other, and of images that are all near each other.
    """
    n, size = (32, 256) if quick else (128, 2048)
    generator = torch.Generator().manual_seed(0)
    noise, centres = (torch.randn(rows, size, generator=generator) for rows in (n, 8))
    labels = torch.arange(n, device=DEVICE) % 8
    batches = {
        "random": noise,
        "clustered": centres.repeat(n // 8, 1) + noise / 3000,
        "collapsed": centres[:1] + noise / 3000,
    }

    def step(features: torch.Tensor, loss: Callable[..., torch.Tensor], *options: Any) -> Callable[[], None]:
        def run() -> None:
            features.grad = None
            loss(features, labels, *options).backward()

        return run

    measured = []
    for batch, features in batches.items():
        features = features.to(DEVICE).requires_grad_()
        ways = [
            ("FIDI", step(features, fidi_loss)),
            ("batch-hard contrastive", step(features, batch_hard_contrastive_loss)),
            ("batch-hard triplet", step(features, batch_hard_triplet_loss)),
            ("quadruplet", step(features, quadruplet_hard_loss)),
            ("host's triplet", step(features, triplet_loss, 0.3, False, True)),
        ]
        for _, way in ways:  # a library's buffers, made at the first call, are nobody's
            way()
        measured += compare(f"pair losses, {batch}", ways, repeats=5 if quick else 100, device=DEVICE)
    return measured


def processes(quick: bool) -> list[Measurement]:
    """Training steps of BoT with ResNet-18 on the CPU: two processes that share the cores, and one that has all."""
    batch, steps, size = (16, 1, "[64, 32]") if quick else (64, 20, "[256, 128]")
    config = str(ROOT / "configs" / "demo" / "bagtricks_r18_demo.yml")
    return compare_processes(config, (2, 1), batch=batch, steps=steps, opts=["INPUT.SIZE_TRAIN", size])


class _Forever:
    """The same batch again and again."""

    def __init__(self, batch: dict[str, Any]) -> None:
        self.batch = batch

    def __iter__(self) -> "_Forever":
        return self

    def __next__(self) -> dict[str, Any]:
        return self.batch


CASES: dict[str, Callable[[bool], list[Measurement]]] = {
    **{name: functools.partial(case, device=DEVICE, root=ROOT) for name, case in amd_benchmark.CASES.items()},
    "ranking": ranking,
    "training_step": training_step,
    "models_inference": models_inference,
    "models_training": models_training,
    "attention_pooling": attention_pooling,
    "mpn_training": mpn_training,
    "mpn_inference": mpn_inference,
    "sal_training": sal_training,
    "reranking": reranking,
    "pair_losses": pair_losses,
    "processes": processes,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chosen cases, print a table and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, action="append", help="one of the cases; all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument(
        "--processor-time", action="store_true", help="count computing, not waiting: on a busy CPU"
    )
    parser.add_argument("--output", default="logs/benchmark.json", help="JSON with versions and hardware")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)

    def work() -> None:
        check_writable(args.output)
        if args.processor_time:
            count_processor_time()
        measurements = [m for case in args.case or CASES for m in CASES[case](args.quick)]
        print(report(measurements, args.output))

    return one_sentence(work, debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
