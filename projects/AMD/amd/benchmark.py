"""AMD's cases of ``fastreid-projects benchmark``.

| letter | meaning                                |
| ------ | -------------------------------------- |
| N      | images                                 |
| C      | channels of the target's map, H x W    |
| M      | attributes                             |
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastreid.data.transforms import build_transforms
from fastreid.modeling.meta_arch import build_model
from torch import Tensor, nn

from fastreid_projects.benchmarks.measure import Measurement, compare
from fastreid_projects.config import load_config
from fastreid_projects.data.attributes import MARKET1501, UNKNOWN
from fastreid_projects.data.demo import SPECS, draw_person, plan_dataset
from fastreid_projects.evaluation.index import GalleryIndex
from fastreid_projects.visualization.heatmap import save_png

from .decomposition import Pooling, attribute_features, pairwise_distances
from .evaluation.evaluator import AttributeEvaluator
from .explain.command import add_ranks
from .explain.explainer import Explainer
from .explain.explanation import MapKind
from .explain.files import Explanation, write_explanation
from .explain.search import search
from .explain.sources import Photo
from .heads import AttributeDecompositionHead
from .losses import (
    AttributePriorLoss,
    MetricDistillationLoss,
    PairDistances,
    exclusive_attributes,
)
from .meta_arch import AMD
from .reference import (
    attention_plain,
    attribute_features_plain,
    pairwise_distances_plain,
)
from .targets import FrozenTarget

_CONFIGS = Path("projects") / "AMD" / "configs"


def decomposition(quick: bool, device: str) -> list[Measurement]:
    """Time AMD's attribute features, forward and backward: N=24, C=2048, 16x8, M=26."""
    features, attention = _maps(quick, device)
    pooling = Pooling("mean", 3.0, floor=1e-6)

    def step(way: Callable[..., Tensor]) -> Callable[[], None]:
        def run() -> None:
            attention.grad = None
            way(features, attention, pooling).square().sum().backward()

        return run

    ways = [
        ("one product", step(attribute_features)),
        ("one pass per attribute", step(attribute_features_plain)),
    ]
    return compare("AMD decomposition", ways, repeats=3 if quick else 5, device=device)


def interpreter_step(quick: bool, device: str) -> list[Measurement]:
    """Time a training step without the backbone: head, attribute features, pairwise distances, losses, backward."""
    features, attention = _maps(quick, device)
    n, m = attention.shape[:2]
    head = AttributeDecompositionHead(in_channels=features.shape[1], num_attributes=m).to(device)
    labels = torch.randint(0, 2, (n // 2, m), generator=torch.Generator().manual_seed(1)).repeat_interleave(
        2, 0
    )
    exclusive, known = exclusive_attributes(labels.to(device))
    target = pairwise_distances(features.mean(dim=(2, 3)))
    losses = (MetricDistillationLoss(), AttributePriorLoss())
    pooling = Pooling("mean", 3.0, floor=1e-6)

    def step(
        attend: Callable[[Tensor], Tensor],
        pool: Callable[..., Tensor],
        distances: Callable[[Tensor], Tensor],
    ) -> Callable[[], None]:
        def run() -> None:
            head.zero_grad()
            parts = distances(pool(features, attend(features), pooling))
            sum(loss(PairDistances(target, parts, exclusive, known)) for loss in losses).backward()

        return run

    ways = [
        ("one product", step(head, attribute_features, pairwise_distances)),
        (
            "one pass per attribute",
            step(partial(attention_plain, head), attribute_features_plain, pairwise_distances_plain),
        ),
    ]
    return compare("AMD, behind the backbone", ways, repeats=3 if quick else 5, device=device)


def attribute_metrics(quick: bool, device: str) -> list[Measurement]:
    """Time AMD's whole evaluation of random float16 features, and its matrix products alone.

    The gallery is as large as that of Market-1501, M=26, 2048-d, with a tenth of the queries: time grows with the
    number of queries, memory does not.
    """
    queries, gallery, size = (20, 300, 32) if quick else (337, 15913, 2048)
    m, n = len(MARKET1501), queries + gallery
    generator = torch.Generator().manual_seed(0)
    features = torch.empty(m, n, size, dtype=torch.float16)
    for part in features:
        part.copy_(torch.randn(n, size, generator=generator))
    embeddings = torch.randn(n, size, generator=generator)
    pids = torch.randint(1, 751, (n,), generator=generator)
    labels = torch.randint(0, 2, (751, m), generator=generator, dtype=torch.int8)[pids]

    def whole() -> None:
        evaluator = AttributeEvaluator(queries, n, MARKET1501, device=torch.device(device))
        camids = torch.arange(n) % 6
        evaluator.evaluate_features(embeddings, features, pids, camids, labels, [])

    def products() -> None:
        a, b = features[:, :queries], features[:, queries:]
        for k in range(m):
            a[k].to(device).float() @ b[k].to(device).float().T

    ways = [("all metrics", whole), ("matrix products alone", products)]
    return compare("AMD evaluation", ways, repeats=1 if quick else 3, device=device)


def explaining(quick: bool, device: str) -> list[Measurement]:
    """Time how long a warm model takes to explain one pair, and the top 10 of a query with the report.

    The model is a ResNet-50 at 256x128, the gallery has 20,000 images whose features are known; the top 10 include the
    search, the pictures and all files.
    """
    explainer = _explainer(quick, device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = _drawn_photos(folder, 12)
        gallery = [photos[1 + i % 11] for i in range(100 if quick else 20_000)]
        size = explainer.embed([photos[0].path]).shape[1]
        features = np.random.default_rng(0).random((len(gallery), size), dtype=np.float32)
        index = GalleryIndex.build(features)
        arguments = argparse.Namespace(queries=1, seed=0, top_k=10)

        def pair() -> None:
            explainer.explain(photos[0].path, photos[1].path)

        def top_10() -> None:
            explanation = Explanation("Top 10")
            add_ranks(explanation, explainer, search(explainer, photos[:1], gallery, index, 10), arguments)
            write_explanation(explanation, folder / "explain", 4)

        ways = [("top 10 of a gallery, with its report", top_10), ("one pair", pair)]
        return compare("AMD, explaining", ways, repeats=2 if quick else 5, device=device)


def pair_maps(quick: bool, device: str) -> list[Measurement]:
    """A warm model explains a pair with maps of contributions, and with the paper's attention.

    ResNet-50 at 256x128. The target's own distance is split in both; the third way makes features and attention alone.
    """
    explainer = _explainer(quick, device)
    with tempfile.TemporaryDirectory() as name:
        paths = [photo.path for photo in _drawn_photos(Path(name), 2)]

        def explain(maps: MapKind) -> Callable[[], None]:
            def run() -> None:
                explainer.maps = maps
                explainer.explain(*paths)

            return run

        ways = [
            ("contributions", explain("contributions")),
            ("features and attention, no maps", lambda: explainer.encode(paths)),
            ("attention", explain("attention")),
        ]
        return compare("AMD, maps of a pair", ways, repeats=2 if quick else 9, device=device)


def _maps(quick: bool, device: str) -> tuple[Tensor, Tensor]:
    """Return random F (N, C, H, W) and A (N, M, H, W)."""
    n, c, h, w, m = (4, 256, 8, 4, 26) if quick else (24, 2048, 16, 8, 26)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(n, c, h, w, generator=generator).relu().to(device)
    attention = torch.rand(n, m, h, w, generator=generator).div(m).add(1e-3).to(device)
    return features, attention.requires_grad_()


def _explainer(quick: bool, device: str) -> Explainer:
    """Return an untrained interpreter of a ResNet-18 if quick, else of a ResNet-50 at 256x128."""
    name = "demo/amd_target_r18_demo.yml" if quick else "market1501/amd_target_r50_market1501.yml"
    size = [] if quick else ["INPUT.SIZE_TEST", "[256,128]"]
    options = ["MODEL.DEVICE", device, "MODEL.BACKBONE.PRETRAIN", "False", "MODEL.HEADS.NUM_CLASSES", "2"]
    cfg = load_config(str(_CONFIGS / name), [*options, *size])
    target = FrozenTarget(build_model(cfg), 3)
    head = AttributeDecompositionHead(in_channels=cfg.MODEL.BACKBONE.FEAT_DIM, num_attributes=len(MARKET1501))
    stages = nn.ModuleList(target.stages[3:])
    model: Any = AMD(target=target, free_stages=stages, head=head, attribute_set=MARKET1501, losses=[])
    return Explainer(model.to(device), build_transforms(cfg, is_train=False))


def _drawn_photos(folder: Path, number: int) -> list[Photo]:
    """Return synthetic people as image files."""
    photos = []
    for i, frame in enumerate(plan_dataset(SPECS["A"]).frames[:number]):
        image, _ = draw_person(frame.person, frame.shot)
        path = save_png(folder / f"{i}.png", image)
        photos.append(Photo(str(path), None, None, (UNKNOWN,) * len(MARKET1501)))
    return photos


CASES = {
    "decomposition": decomposition,
    "interpreter_step": interpreter_step,
    "attribute_metrics": attribute_metrics,
    "explaining": explaining,
    "pair_maps": pair_maps,
}
