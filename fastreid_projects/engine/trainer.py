"""The host's trainer, extended by datasets and evaluators that an architecture brings along."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from fastreid.data import CommDataset, build_reid_test_loader, build_reid_train_loader
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.transforms import build_transforms
from fastreid.engine import DefaultTrainer, hooks
from fastreid.evaluation import ReidEvaluator, inference_on_dataset, print_csv_format
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from fastreid.utils import comm
from fastreid.utils.events import CommonMetricPrinter, JSONWriter
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from fastreid_projects.config.unread import refuse_unread
from fastreid_projects.config.watched import WatchedConfig
from fastreid_projects.contract import CountsItems, DatasetMaker, HasDataset, HasEvaluator, Source, junk_of
from fastreid_projects.data.byte_transforms import as_bytes
from fastreid_projects.data.datasets import check_matches, open_dataset, subset, training_items
from fastreid_projects.engine.averaging import WeightAverage
from fastreid_projects.engine.trackers import build_trackers
from fastreid_projects.evaluation.counts import Results
from fastreid_projects.evaluation.fidelity_evaluator import TrainFidelityEvaluator
from fastreid_projects.evaluation.protocol import fit_evaluator
from fastreid_projects.modeling.activation_checkpointing import checkpoint_activations
from fastreid_projects.modeling.compiling import compile_backbone
from fastreid_projects.modeling.initialize import zero_residuals

logger = logging.getLogger("fastreid.projects.trainer")

_WRITE_PERIOD = 50


class Trainer(DefaultTrainer):
    """Train and test any architecture of the host or of this project.

    An architecture may bring its own dataset and evaluator: see :class:`fastreid_projects.contract.HasDataset` and
    :class:`fastreid_projects.contract.HasEvaluator`.
    """

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        torch.backends.cuda.matmul.allow_tf32 = cfg.TRAINING.TF32
        self._trainer.accumulation = cfg.TRAINING.ACCUMULATION

    @classmethod
    def build_model(cls, cfg: Any) -> nn.Module:
        """Build a model for training; every value of ``MODEL`` has to have an effect on it.

        Raises:
            ConfigError: some values have no effect, see :func:`.unread.refuse_unread`.
        """
        watched = WatchedConfig.of(cfg)
        model = cls.build_for_tests(watched)
        refuse_unread(watched)
        if cfg.TRAINING.CHANNELS_LAST:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if cfg.TRAINING.COMPILE:
            compile_backbone(model)
        return model

    @classmethod
    def build_for_tests(cls, cfg: Any) -> nn.Module:
        """Build the host's model and apply ``MODEL.BACKBONE.ZERO_INIT_RESIDUAL`` and ``ACTIVATION_CHECKPOINTING``."""
        model = super().build_model(cfg)
        if cfg.MODEL.BACKBONE.ZERO_INIT_RESIDUAL and not cfg.MODEL.BACKBONE.PRETRAIN:
            zero_residuals(model)
        if cfg.MODEL.BACKBONE.ACTIVATION_CHECKPOINTING:
            checkpoint_activations(model)
        return model

    @classmethod
    def build_train_loader(cls, cfg: Any) -> Any:
        """Build the host's training loader, with the architecture's own dataset if it has one."""
        make = own_dataset(cfg, is_train=True)
        if make is None:
            return super().build_train_loader(cfg)
        sources = training_sources(cfg)
        if comm.is_main_process():
            for source in sources:
                source.dataset.show_train()
        return build_reid_train_loader(cfg, train_set=make(sources, build_transforms(cfg, is_train=True)))

    @classmethod
    def build_test_loader(cls, cfg: Any, dataset_name: str) -> tuple[Any, int]:
        """Return the host's test loader, with the architecture's dataset if it has one, and the number of queries."""
        make = own_dataset(cfg, is_train=False)
        if make is None:
            return super().build_test_loader(cfg, dataset_name)
        dataset = open_dataset(cfg, dataset_name)
        if comm.is_main_process():
            dataset.show_test()
        query, gallery = (subset(dataset, dataset_name, part) for part in ("query", "gallery"))
        source = Source(dataset_name, dataset, query + gallery)
        test_set = make([source], build_transforms(cfg, is_train=False))
        test_set.junk = junk_of(dataset)
        return build_reid_test_loader(cfg, test_set=test_set, num_query=len(query))

    @classmethod
    def test(cls, cfg: Any, model: nn.Module) -> dict[str, Any]:
        """Evaluate on every dataset of ``DATASETS.TESTS``; return results by name, or flat if there is only one."""
        results = Results()
        training = cls._train_fidelity(cfg, model) if cfg.TEST.FIDELITY.TRAIN else {}
        for name in cfg.DATASETS.TESTS:
            loader, evaluator = cls._open_test(cfg, model, name)
            result = inference_on_dataset(model, loader, evaluator, flip_test=cfg.TEST.FLIP.ENABLED)
            results[name] = result = Results(result, **training)
            results.counts[name] = evaluator.counts if isinstance(evaluator, CountsItems) else {}
            if comm.is_main_process():
                print_csv_format(OrderedDict(result, dataset=name))
        if len(results) > 1:
            return results
        result = next(iter(results.values()), Results())
        result.counts = results.counts
        return result

    @classmethod
    def open_tests(cls, cfg: Any, model: nn.Module) -> None:
        """Open every test set before training starts, so that missing data is not found only at the end."""
        for name in cfg.DATASETS.TESTS:
            cls._open_test(cfg, model, name)
        if cfg.TEST.FIDELITY.TRAIN:
            cls._open_train_fidelity(cfg)

    @classmethod
    def _open_test(cls, cfg: Any, model: nn.Module, name: str) -> tuple[Any, Any]:
        """Return the loader and the evaluator of a test set; the evaluator is the architecture's own if it has one."""
        loader, num_query = cls.build_test_loader(cfg, name)
        architecture = unwrap(model)
        if isinstance(architecture, HasEvaluator):
            return loader, architecture.build_evaluator(cfg, name, loader, num_query)
        check_matches(name, loader.dataset.img_items, num_query, same_camera=cfg.TEST.SAME_CAMERA)
        evaluator = ReidEvaluator(cfg, num_query, cfg.OUTPUT_DIR)
        fit_evaluator(evaluator, cfg, DATASET_REGISTRY.get(name), loader.dataset)
        return loader, evaluator

    @classmethod
    def _train_fidelity(cls, cfg: Any, model: nn.Module) -> dict[str, float]:
        """Return Error-I and Error-II of the training images under the test transforms."""
        return inference_on_dataset(
            model,
            cls._open_train_fidelity(cfg),
            TrainFidelityEvaluator(cfg),
            flip_test=cfg.TEST.FLIP.ENABLED,
        )

    @classmethod
    def _open_train_fidelity(cls, cfg: Any) -> Any:
        """Return a loader of the training images as test images, with numbered identities and cameras."""
        sources = training_sources(cfg)
        items = [item for source in sources for item in source.items]
        people, cameras = (
            {value: number for number, value in enumerate(sorted({item[i] for item in items}))}
            for i in (1, 2)
        )
        numbered = [
            source._replace(items=[(item[0], people[item[1]], cameras[item[2]]) for item in source.items])
            for source in sources
        ]
        make = own_dataset(cfg, is_train=False) or _host_dataset
        images = make(numbered, build_transforms(cfg, is_train=False))
        return build_reid_test_loader(cfg, test_set=images, num_query=1)[0]

    def build_writers(self) -> list[Any]:
        """Build the host's printer, the writer of ``metrics.json``, and the trackers that TRACKERS names."""
        lines = JSONWriter(os.path.join(self.cfg.OUTPUT_DIR, "metrics.json"))
        return [CommonMetricPrinter(self.max_iter), lines, *build_trackers(self.cfg)]

    def build_hooks(self) -> list[Any]:
        """Build the host's hooks, with a shorter period of writing than the host's 200 iterations."""
        built = super().build_hooks()
        for hook in built:
            if isinstance(hook, hooks.PeriodicWriter):
                hook._period = min(hook._period, _WRITE_PERIOD)
        if not self.cfg.TRAINING.EMA:
            return built
        average = WeightAverage(unwrap(self.model), self.cfg.TRAINING.EMA)
        self.checkpointer.checkpointables["average"] = average
        self.checkpointer.save = average.shown()(self.checkpointer.save)
        self.test = average.shown()(self.test)  # type: ignore[method-assign]
        evaluation = next(i for i, hook in enumerate(built) if isinstance(hook, hooks.EvalHook))
        return [*built[:evaluation], average, *built[evaluation:]]


def own_dataset(cfg: Any, is_train: bool) -> DatasetMaker | None:
    """Return the function that makes the dataset of the config's architecture; None if it uses the host's dataset."""
    architecture = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    return architecture.own_dataset(cfg, is_train) if isinstance(architecture, HasDataset) else None


def training_sources(cfg: Any) -> list[Source]:
    """Open the training sets with the images that DATASETS.ID_FRACTION leaves."""
    opened = [
        (name, open_dataset(cfg, name, combineall=cfg.DATASETS.COMBINEALL)) for name in cfg.DATASETS.NAMES
    ]
    return [Source(name, dataset, training_items(cfg, dataset, name)) for name, dataset in opened]


def _host_dataset(sources: Sequence[Source], transforms: Any) -> CommDataset:
    items = [item for source in sources for item in source.items]
    return CommDataset(items, as_bytes(transforms), relabel=False)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside a DistributedDataParallel, or the model itself."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def final_weights(output_dir: str) -> str:
    """Return the path of the final weights of a run."""
    return os.path.join(output_dir, "model_final.pth")
