"""The evaluator of an AMD run: scores, faithfulness where masks are known, and the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.transforms import build_transforms
from fastreid.utils import comm
from torch import Tensor

from fastreid_projects.amd.build import save_target_config
from fastreid_projects.amd.counterfactual import CounterfactualStudy
from fastreid_projects.amd.deletion import DeletionStudy
from fastreid_projects.amd.evaluator import AttributeEvaluator, Study
from fastreid_projects.amd.explain import Explainer
from fastreid_projects.amd.faithfulness import MaskAttention
from fastreid_projects.amd.report import RunReport
from fastreid_projects.host.datasets import check_matches
from fastreid_projects.host.evaluation import make_chunks

if TYPE_CHECKING:
    from fastreid_projects.amd.meta_arch import AMD


def build_attribute_evaluator(
    model: AMD, cfg: Any, dataset_name: str, loader: Any, num_query: int
) -> AttributeEvaluator:
    """The evaluator that the config asks for; it leaves the target's config in OUTPUT_DIR.

    Args:
        model: the interpreter.
        cfg: the run's config.
        dataset_name: registered name of the test set.
        loader: its loader, queries first.
        num_query: number of queries.
    """
    check_matches(dataset_name, loader.dataset.img_items, num_query, same_camera=cfg.TEST.SAME_CAMERA)
    if comm.is_main_process() and Path(cfg.OUTPUT_DIR).is_dir():
        save_target_config(cfg)
    return AttributeEvaluator(
        num_query,
        len(loader.dataset),
        model.attribute_set,
        target_distances=lambda query, gallery: make_chunks(query, gallery, cfg.TEST, model.device)(),
        chunk=cfg.MODEL.AMD.TEST.CHUNK,
        half=cfg.MODEL.AMD.TEST.HALF,
        device=model.device,
        mask_attention=_mask_attention(model, dataset_name),
        same_camera=cfg.TEST.SAME_CAMERA,
        gamma=cfg.MODEL.AMD.TEST.GAMMA,
        studies=list(_studies(model, cfg, dataset_name)),
    )


def _studies(model: AMD, cfg: Any, dataset_name: str) -> Iterator[Study]:
    """What the config wants beyond scores; the report comes last, since it prints the others."""
    node = cfg.MODEL.AMD
    explainer = Explainer(model, build_transforms(cfg, is_train=False))
    change = getattr(DATASET_REGISTRY.get(dataset_name), "counterfactuals", None)
    if node.TEST.COUNTERFACTUALS and change is not None:
        yield CounterfactualStudy(explainer, change, node.TEST.COUNTERFACTUALS)
    if node.TEST.DELETION_PAIRS:
        curves = Path(cfg.OUTPUT_DIR) / "inference"
        yield DeletionStudy(
            explainer,
            node.TEST.DELETION_PAIRS,
            curves if len(cfg.DATASETS.TESTS) == 1 else curves / dataset_name,
        )
    if node.REPORT.PAIRS:
        folder = Path(cfg.OUTPUT_DIR) / "report"
        yield RunReport(
            explainer,
            folder if len(cfg.DATASETS.TESTS) == 1 else folder / dataset_name,
            title=f"Why are two persons near or far? {dataset_name}",
            number=node.REPORT.PAIRS,
            top_k=node.REPORT.TOP_K,
        )


def _mask_attention(model: AMD, dataset_name: str) -> MaskAttention | None:
    """For datasets that know the true pixels of the interpreter's attributes."""
    read_masks = getattr(DATASET_REGISTRY.get(dataset_name), "attribute_masks", None)
    if read_masks is None:
        return None

    def attend(inputs: dict[str, Any]) -> Tensor:
        return model.attend(model.preprocess_image({"images": inputs["images"]}))[1]

    return MaskAttention(torch.no_grad()(attend), read_masks)
