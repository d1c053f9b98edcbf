"""Classification with the same backbone, head and losses (sec. 4.5), scored by its error."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from fastreid.evaluation.evaluator import DatasetEvaluator
from fastreid.layers.any_softmax import Linear
from fastreid.modeling.heads.clas_head import ClasHead
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY, Baseline
from fastreid.utils import comm
from torch import Tensor

from fastreid_projects.contract import DatasetMaker
from fastreid_projects.errors import ConfigError, DataError

from .classification import with_classes


@META_ARCH_REGISTRY.register()
class SALClassifier(Baseline):
    """The host's Baseline, returning logits (N, classes) instead of features in evaluation."""

    output_kind = "logits"
    output_names = ()

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Read the values that Baseline reads.

        Raises:
            ConfigError: the number of classes is unknown, e.g. if a run without it is only evaluated.
        """
        if cfg.MODEL.HEADS.NUM_CLASSES < 1:
            raise ConfigError("MODEL.HEADS.NUM_CLASSES is 0; a classifier has to know its number of classes")
        return super().from_config(cfg)

    @staticmethod
    def own_dataset(cfg: Any, is_train: bool) -> DatasetMaker:
        """Return the function that makes images with classes."""
        return with_classes

    def build_evaluator(self, cfg: Any, dataset_name: str, loader: Any, num_query: int) -> ErrorEvaluator:
        """Return the evaluator of all test images."""
        return ErrorEvaluator()

    def forward(self, batched_inputs: Any) -> dict[str, Tensor] | Tensor:
        """Return losses (training) or logits (N, classes) (evaluation) of a host batch."""
        outputs = super().forward(batched_inputs)
        if self.training or isinstance(self.heads, ClasHead):  # the output of ClasHead is logits already
            return outputs
        layer, weight = self.heads.cls_layer, self.heads.weight
        if type(layer) is not Linear:  # margin softmaxes are subclasses, which compare directions
            outputs, weight = F.normalize(outputs), F.normalize(weight)
        return F.linear(outputs, weight) * layer.s


class ErrorEvaluator(DatasetEvaluator):
    """Error rates of a classifier, in per cent: ``Error`` and ``Error-5``; ``metric`` is 100 - Error."""

    def __init__(self) -> None:
        self._ranks: list[Tensor] = []

    def reset(self) -> None:
        """Drop all batches."""
        self._ranks = []

    def process(self, inputs: dict[str, Any], outputs: Tensor) -> None:
        """Keep the rank of each image's class, 0 for the best; among equal logits, wrong classes come first."""
        logits, labels = outputs.float().cpu(), inputs["targets"].cpu()
        if not torch.isfinite(logits).all():
            raise DataError("the classifier's logits hold NaN or infinite values: load an earlier checkpoint")
        own = logits.gather(1, labels.view(-1, 1))
        self._ranks.append((logits >= own).sum(dim=1) - 1)

    def evaluate(self) -> dict[str, float]:
        """Return the error rates over all processes; {} in all processes but the main one."""
        gathered = [self._ranks]
        if comm.get_world_size() > 1:
            comm.synchronize()
            gathered = comm.gather(self._ranks, dst=0)
            if not comm.is_main_process():
                return {}
        ranks = torch.cat(list(itertools.chain.from_iterable(gathered)))
        error, error5 = ((ranks >= k).double().mean().item() * 100 for k in (1, 5))
        return OrderedDict([("Error", error), ("Error-5", error5), ("metric", 100 - error)])
