"""Benchmark cases that do not belong to a single paper, and the list of all cases."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from fastreid.data import CommDataset, build_reid_test_loader
from fastreid.data.transforms import build_transforms
from fastreid.engine.train_loop import SimpleTrainer
from fastreid.evaluation import inference_on_dataset
from fastreid.evaluation.evaluator import DatasetEvaluator
from fastreid.evaluation.rank import evaluate_py
from fastreid.modeling.meta_arch import build_model
from fastreid.solver import build_optimizer
from fastreid.utils.compute_dist import compute_jaccard_distance
from fastreid.utils.events import EventStorage
from PIL import Image

from fastreid_projects.benchmarks.beside_host import loaders, trainers
from fastreid_projects.benchmarks.loading import loading
from fastreid_projects.benchmarks.measure import Measurement, compare
from fastreid_projects.benchmarks.searching import indices, search
from fastreid_projects.benchmarks.steps import plain_step
from fastreid_projects.benchmarks.throughput import compare_processes
from fastreid_projects.config import load_config
from fastreid_projects.evaluation.ranking import RankingMeter
from fastreid_projects.evaluation.reranking import FASTREID, iter_jaccard_distances
from fastreid_projects.extractor import Extractor
from fastreid_projects.plugins import PAPERS

Case = Callable[[bool, str], list[Measurement]]


def ranking(quick: bool, device: str) -> list[Measurement]:
    """Compare CMC, mAP and mINP of a distance matrix of Market-1501's size, with a tenth of the queries."""
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


def training_step(quick: bool, device: str) -> list[Measurement]:
    """Compare a step of SBS with ResNet-18 by the patched trainer and by a plain torch loop of the same model."""
    size, batch = ((64, 32), 8) if quick else ((128, 64), 32)
    opts: list[str] = ["MODEL.DEVICE", device, "MODEL.HEADS.NUM_CLASSES", "100"]
    cfg = load_config("configs/demo/sbs_r18_demo.yml", opts)
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
        return plain_step(model, data, optimizer)

    ways = [("patched trainer", trainer()), ("plain torch loop", plain())]
    return compare("training step", ways, repeats=3 if quick else 15, device=device)


def reranking(quick: bool, device: str) -> list[Measurement]:
    """Compare k-reciprocal re-ranking of random features at Market-1501's size; the distances have to be equal."""
    queries, gallery, size = (40, 400, 64) if quick else (3368, 15913, 512)
    features = torch.randn(queries + gallery, size, generator=torch.Generator().manual_seed(0))
    features = torch.nn.functional.normalize(features, dim=1)
    last: dict[str, Any] = {}

    def ours() -> None:
        chunks = iter_jaccard_distances(
            features[:queries], features[queries:], device=device, formula=FASTREID
        )
        last["ours"] = next(rows for _, rows in chunks)[:40].copy()
        for _ in chunks:
            pass

    def host() -> None:
        whole = compute_jaccard_distance(features, k1=20, k2=6, search_option=3)
        last["host"] = whole[:40, queries:].copy()

    measured = compare("re-ranking", [("sparse, chunked", ours), ("host", host)], repeats=1, device=device)
    np.testing.assert_allclose(last["ours"], last["host"], atol=1e-4)
    return measured


def reranking_devices(quick: bool, device: str) -> list[Measurement]:
    """Compare k-reciprocal re-ranking of random features at Market-1501's size on the device and on the CPU."""
    queries, gallery, size = (40, 400, 64) if quick else (3368, 15913, 2048)
    features = torch.randn(queries + gallery, size, generator=torch.Generator().manual_seed(0))
    features = torch.nn.functional.normalize(features, dim=1)

    def on(where: str) -> Callable[[], None]:
        def run() -> None:
            for _ in iter_jaccard_distances(features[:queries], features[queries:], device=where):
                pass

        return run

    ways = [(f"on {device}", on(device)), ("on the CPU", on("cpu"))]
    return compare("re-ranking, by device", ways, repeats=1, device=device)


def extraction(quick: bool, device: str) -> list[Measurement]:
    """Compare features of JPEG files by the extractor and by the host's evaluation of the same model and loader."""
    count, workers = (32, 0) if quick else (2000, 2)
    opts = [
        "MODEL.DEVICE",
        device,
        "MODEL.BACKBONE.PRETRAIN",
        "False",
        "DATALOADER.NUM_WORKERS",
        str(workers),
    ]
    cfg = load_config("configs/demo/bagtricks_r18_demo.yml", [*opts, "MODEL.HEADS.NUM_CLASSES", "2"])
    model, transform = build_model(cfg).eval(), build_transforms(cfg, is_train=False)
    with tempfile.TemporaryDirectory() as folder:
        paths = _write_pictures(folder, count)
        extractor = Extractor(
            model, transform, batch_size=cfg.TEST.IMS_PER_BATCH, workers=workers, flip=cfg.TEST.FLIP.ENABLED
        )

        def evaluation() -> None:
            images = CommDataset([(path, 0, 0) for path in paths], transform, relabel=False)
            loader, _ = build_reid_test_loader(cfg, test_set=images, num_query=1)
            inference_on_dataset(model, loader, _Forgetful(), flip_test=cfg.TEST.FLIP.ENABLED)

        ways = [("extractor", lambda: extractor(paths)), ("evaluation", evaluation)]
        return compare("features of pictures", ways, repeats=1 if quick else 3, device=device)


def _write_pictures(folder: str, count: int) -> list[str]:
    rng = np.random.default_rng(0)
    paths = [f"{folder}/{number}.jpg" for number in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (128, 64, 3)).astype(np.uint8)).save(path)
    return paths


class _Forgetful(DatasetEvaluator):
    """Move features to the CPU, as every evaluator does, but score nothing."""

    def process(self, inputs: Any, outputs: torch.Tensor) -> None:
        """Process a batch as the host's method does."""
        outputs.cpu()


def processes(quick: bool, device: str) -> list[Measurement]:
    """Compare training steps of BoT with ResNet-18 on the CPU: two processes share the cores, or one has all."""
    batch, steps, size = (16, 1, "[64, 32]") if quick else (64, 20, "[256, 128]")
    config = "configs/demo/bagtricks_r18_demo.yml"
    return compare_processes(config, (2, 1), batch=batch, steps=steps, opts=["INPUT.SIZE_TRAIN", size])


class _Forever:
    """Yield the same batch again and again."""

    def __init__(self, batch: dict[str, Any]) -> None:
        self.batch = batch

    def __iter__(self) -> _Forever:
        return self

    def __next__(self) -> dict[str, Any]:
        return self.batch


CASES: dict[str, Case] = {
    "ranking": ranking,
    "training_step": training_step,
    "reranking": reranking,
    "reranking_devices": reranking_devices,
    "processes": processes,
    "extraction": extraction,
    "loader": loading,
    "indices": indices,
    "search": search,
    "trainer_beside_host": trainers,
    "loader_beside_host": loaders,
}


def all_cases() -> dict[str, Case]:
    """Return the cases by name: those of the papers, then those of the core."""
    found: dict[str, Case] = {}
    for paper in PAPERS.values():
        if paper.benchmark:
            found |= importlib.import_module(paper.benchmark).CASES
    return {**found, **CASES}
