"""The evaluator of an AMD run: scores, faithfulness where masks are known, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.transforms import build_transforms
from torch import Tensor

from fastreid_projects.amd.evaluator import AttributeEvaluator
from fastreid_projects.amd.explain import Explainer
from fastreid_projects.amd.faithfulness import MaskAttention
from fastreid_projects.amd.report import write_run_report
from fastreid_projects.host.evaluation import make_chunks

if TYPE_CHECKING:
    from fastreid_projects.amd.meta_arch import AMD


class ReportingEvaluator(AttributeEvaluator):
    """An :class:`AttributeEvaluator` that ends with a report of explained pairs.

    Args:
        explainer: explains the pairs.
        folder: where ``report.html`` and ``report.json`` go.
        title: the report's heading.
        pairs: how many pairs.
        top_k: heat maps a pair.
        options: those of :class:`AttributeEvaluator`.
    """

    def __init__(
        self,
        *args: Any,
        explainer: Explainer,
        folder: Path,
        title: str,
        pairs: int,
        top_k: int,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.explainer = explainer
        self.folder = folder
        self.title = title
        self.pairs = pairs
        self.top_k = top_k

    def _scores(self, embeddings: Tensor, features: Tensor) -> dict[str, float]:
        results = super()._scores(embeddings, features)
        write_run_report(
            self,
            embeddings,
            self.explainer,
            results,
            self.folder,
            title=self.title,
            number=self.pairs,
            top_k=self.top_k,
        )
        return results


def build_attribute_evaluator(
    model: AMD, cfg: Any, dataset_name: str, loader: Any, num_query: int
) -> AttributeEvaluator:
    """The evaluator that the config asks for.

    Args:
        model: the interpreter.
        cfg: the run's config.
        dataset_name: registered name of the test set.
        loader: its loader, queries first.
        num_query: number of queries.
    """
    options: dict[str, Any] = {
        "target_distances": lambda query, gallery: make_chunks(query, gallery, cfg.TEST, model.device)(),
        "chunk": cfg.MODEL.AMD.TEST.CHUNK,
        "half": cfg.MODEL.AMD.TEST.HALF,
        "device": model.device,
        "mask_attention": _mask_attention(model, dataset_name),
    }
    arguments = (num_query, len(loader.dataset), model.attribute_set)
    if not cfg.MODEL.AMD.REPORT.PAIRS:
        return AttributeEvaluator(*arguments, **options)
    folder = Path(cfg.OUTPUT_DIR) / "report"
    return ReportingEvaluator(
        *arguments,
        **options,
        explainer=Explainer(model, build_transforms(cfg, is_train=False)),
        folder=folder if len(cfg.DATASETS.TESTS) == 1 else folder / dataset_name,
        title=f"Why are two persons near or far? {dataset_name}",
        pairs=cfg.MODEL.AMD.REPORT.PAIRS,
        top_k=cfg.MODEL.AMD.REPORT.TOP_K,
    )


def _mask_attention(model: AMD, dataset_name: str) -> MaskAttention | None:
    """For datasets that know the true pixels of the interpreter's attributes."""
    read_masks = getattr(DATASET_REGISTRY.get(dataset_name), "attribute_masks", None)
    if read_masks is None:
        return None

    def attend(inputs: dict[str, Any]) -> Tensor:
        return model.attend(model.preprocess_image({"images": inputs["images"]}))[1]

    return MaskAttention(torch.no_grad()(attend), read_masks)
