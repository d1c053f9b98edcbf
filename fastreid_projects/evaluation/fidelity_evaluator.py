"""Error-I and Error-II of the training images, if ``TEST.FIDELITY.TRAIN`` asks for them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from fastreid.evaluation.reid_evaluation import ReidEvaluator

from fastreid_projects.evaluation.distance import check_finite
from fastreid_projects.evaluation.fidelity import fidelity_errors


class TrainFidelityEvaluator(ReidEvaluator):
    """Collect features as the host's evaluator does, and count the errors over all of them.

    Args:
        cfg: the config of the run.
    """

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg, num_query=0)

    def evaluate(self) -> dict[str, float]:
        """Return ``"train_Error-I"`` and ``"train_Error-II"``; {} in all processes but the main one."""
        from fastreid_projects.evaluation.chunks import distance_device
        from fastreid_projects.evaluation.gathering import gather_predictions

        predictions = gather_predictions(self._predictions)
        if predictions is None:
            return {}
        features = torch.cat([prediction["feats"] for prediction in predictions])
        labels = torch.cat([prediction["pids"] for prediction in predictions])
        check_finite(features)
        found = fidelity_errors(features, labels, self.cfg.TEST.METRIC, device=distance_device(self.cfg))
        return OrderedDict({"train_Error-I": found.error_1, "train_Error-II": found.error_2})
