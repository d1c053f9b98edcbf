"""Build the evaluator of an AMD run: scores, faithfulness of the maps where masks are known, and the report.

| letter | meaning                      |
| ------ | ---------------------------- |
| M      | the interpreter's attributes |
| H, W   | size of an image             |
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.transforms import build_transforms
from fastreid.utils import comm
from torch import Tensor

from fastreid_projects.contract import ChangesAttributes, KnowsPixels, junk_of
from fastreid_projects.data.attributes import AttributeSet
from fastreid_projects.data.datasets import check_matches
from fastreid_projects.evaluation.chunks import make_chunks
from fastreid_projects.evaluation.protocol import ranking_meter

from ..build import save_target_config
from ..data.attribute_dataset import attribute_set_of
from ..data.choice import save_attribute_words
from ..explain.calibration_file import CALIBRATION, interpreter_digest
from ..explain.explainer import Explainer
from ..explain.run_report import RunReport
from .calibration_study import CalibrationStudy
from .counterfactual import Changer, CounterfactualStudy
from .evaluator import AttributeEvaluator, Study, TargetFeatures
from .faithfulness import MaskAttention, MaskReader
from .map_study import MapStudy

if TYPE_CHECKING:
    from ..meta_arch import AMD

logger = logging.getLogger("fastreid.projects.amd")


def build_attribute_evaluator(
    model: AMD, cfg: Any, dataset_name: str, loader: Any, num_query: int
) -> AttributeEvaluator:
    """Return the evaluator that the config asks for; save the target's config and own attributes in OUTPUT_DIR.

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
        save_attribute_words(cfg, model.attribute_set)
    for sentence in _left_out(cfg.MODEL.AMD.TEST, dataset_name):
        logger.warning(sentence)
    return AttributeEvaluator(
        num_query,
        len(loader.dataset),
        model.attribute_set,
        target_distances=lambda query, gallery: make_chunks(query, gallery, cfg.TEST, model.device)(),
        chunk=cfg.MODEL.AMD.TEST.CHUNK,
        half=cfg.MODEL.AMD.TEST.HALF,
        device=model.device,
        target_features=_target_features(model, flip=cfg.TEST.FLIP.ENABLED),
        placeless_features=_placeless_features(model, flip=cfg.TEST.FLIP.ENABLED)
        if cfg.MODEL.AMD.TEST.SPATIAL_MEAN
        else None,
        mask_attention=_mask_attention(model, dataset_name, flip=cfg.TEST.FLIP.ENABLED),
        same_camera=cfg.TEST.SAME_CAMERA,
        gamma=cfg.MODEL.AMD.TEST.GAMMA,
        count_unlabelled=cfg.MODEL.AMD.TEST.COUNT_UNLABELLED,
        junk=junk_of(loader.dataset),
        ranking_meter=ranking_meter(cfg.TEST),
        studies=list(_studies(model, cfg, dataset_name)),
    )


def _left_out(test: Any, dataset_name: str) -> Iterator[str]:
    """Say which measures the config asks for and the dataset cannot give.

    Args:
        test: ``MODEL.AMD.TEST``.
        dataset_name: registered name of the test set.
    """
    dataset = DATASET_REGISTRY.get(dataset_name)
    if test.COUNTERFACTUALS and not isinstance(dataset, ChangesAttributes):
        yield (
            f"MODEL.AMD.TEST.COUNTERFACTUALS measures nothing on {dataset_name}, which cannot change an attribute of "
            "an image."
        )
    if test.DELETION_PAIRS and not isinstance(dataset, KnowsPixels):
        yield (
            f"{dataset_name} has no true masks of its attributes: maps are measured on it by deletion and insertion "
            "alone, not by density and pointing."
        )


def _studies(model: AMD, cfg: Any, dataset_name: str) -> Iterator[Study]:
    """Yield the studies that the config asks for besides scores; the report comes last, as it prints the others."""
    node = cfg.MODEL.AMD
    explainer = Explainer(
        model,
        build_transforms(cfg, is_train=False),
        flip=cfg.TEST.FLIP.ENABLED,
        cosine=cfg.TEST.METRIC == "cosine",
    )
    alone = len(cfg.DATASETS.TESTS) == 1
    curves = Path(cfg.OUTPUT_DIR) / "inference"
    yield CalibrationStudy(
        explainer,
        dataset_name,
        lambda: interpreter_digest(model, cfg),
        Path(cfg.OUTPUT_DIR) / CALIBRATION,
        (curves if alone else curves / dataset_name) / "words.csv",
    )
    dataset = DATASET_REGISTRY.get(dataset_name)
    if node.TEST.COUNTERFACTUALS and isinstance(dataset, ChangesAttributes):
        change = changes_by_name(dataset.counterfactuals, _places(dataset_name, model.attribute_set))
        yield CounterfactualStudy(explainer, change, node.TEST.COUNTERFACTUALS)
    if node.TEST.DELETION_PAIRS:
        yield MapStudy(
            explainer,
            node.TEST.DELETION_PAIRS,
            _mask_reader(model, dataset_name),
            curves if alone else curves / dataset_name,
        )
    if node.REPORT.PAIRS:
        folder = Path(cfg.OUTPUT_DIR) / "report"
        yield RunReport(
            explainer,
            folder if alone else folder / dataset_name,
            title=f"Why are two persons near or far? {dataset_name}",
            number=node.REPORT.PAIRS,
            top_k=node.REPORT.TOP_K,
        )


def _target_features(model: AMD, *, flip: bool) -> TargetFeatures | None:
    """Return the function that gives the target's returned features of a host batch; None if these are explained.

    Args:
        model: the interpreter.
        flip: whether to average the features of an image and its mirror image.
    """
    if model.explains_returned:
        return None

    @torch.no_grad()
    def features(inputs: dict[str, Any]) -> Tensor:
        images = inputs["images"]
        views = [images, images.flip(3)] if flip else [images]
        found = [model.target(model.preprocess_image({"images": view})).embedding for view in views]
        return sum(found[1:], found[0]) / len(found)

    return features


def _placeless_features(model: AMD, *, flip: bool) -> TargetFeatures:
    """Return the function that gives f^k of a host batch, with A replaced by its mean over the positions.

    Args:
        model: the interpreter.
        flip: whether to average the features of an image and its mirror image.
    """

    @torch.no_grad()
    def features(inputs: dict[str, Any]) -> Tensor:
        images = inputs["images"]
        found = []
        for view in [images, images.flip(3)] if flip else [images]:
            output, attention = model.attend(model.preprocess_image({"images": view}))
            mean = attention.mean(dim=(2, 3), keepdim=True).expand_as(attention)
            found.append(model.attribute_features(output, mean))
        return sum(found[1:], found[0]) / len(found)

    return features


def _mask_attention(model: AMD, dataset_name: str, *, flip: bool) -> MaskAttention | None:
    """Return the measure of attention in true masks; None if the dataset has no masks of the attributes.

    Args:
        model: the interpreter.
        dataset_name: registered name of the test set.
        flip: whether batches are mirrored, as the host leaves them (evaluation/evaluator.py:120); masks are not.
    """
    read_masks = _mask_reader(model, dataset_name)
    if read_masks is None:
        return None

    def attend(inputs: dict[str, Any]) -> Tensor:
        images = inputs["images"].flip(3) if flip else inputs["images"]
        return model.attend(model.preprocess_image({"images": images}))[1]

    return MaskAttention(torch.no_grad()(attend), read_masks)


def _mask_reader(model: AMD, dataset_name: str) -> MaskReader | None:
    """Return the function that reads the true masks of the interpreter's attributes; None if the dataset has none."""
    dataset = DATASET_REGISTRY.get(dataset_name)
    if not isinstance(dataset, KnowsPixels):
        return None
    return masks_by_name(dataset.attribute_masks, _places(dataset_name, model.attribute_set))


def _places(dataset_name: str, wanted: AttributeSet) -> list[int | None]:
    """Return the index of each of the interpreter's attributes in the dataset's own set, found by name, or None."""
    own = attribute_set_of(dataset_name) or wanted
    return [own.index(name) if name in own.names else None for name in wanted.names]


def masks_by_name(read_masks: MaskReader, places: Sequence[int | None]) -> MaskReader:
    """Return a function that reads the masks (M, H, W) of the interpreter's attributes.

    The mask of an attribute that the dataset does not have is empty.

    Args:
        read_masks: image path -> masks in the order of the dataset's attributes.
        places: the index of each of the M attributes in that order, or None.
    """

    def read(path: str) -> Any:
        own = np.asarray(read_masks(path))
        return np.stack([np.zeros_like(own[0]) if place is None else own[place] for place in places])

    return read


def changes_by_name(change: Changer, places: Sequence[int | None]) -> Changer:
    """Return a function that yields cases in terms of the interpreter's attributes, without those that change none.

    Args:
        change: yields cases with positions in the order of the dataset's attributes.
        places: the index of each of the M attributes in that order, or None.
    """

    def changed(paths: Sequence[str], number: int) -> Iterable[Any]:
        for case in change(paths, number):
            attributes = tuple(k for k, place in enumerate(places) if place in case.attributes)
            if attributes:
                yield replace(case, attributes=attributes)

    return changed
