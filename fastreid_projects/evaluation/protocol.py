"""What a test set asks of its evaluator."""

from __future__ import annotations

from typing import Any

from fastreid_projects.contract import AsksWithSeveral, junk_of
from fastreid_projects.evaluation.draws import draws


def fit_evaluator(evaluator: Any, cfg: Any, dataset: Any, images: Any) -> None:
    """Tell an evaluator how its test set is scored.

    Args:
        evaluator: the host's; it gets ``multi_query``, ``draws`` and ``junk``.
        cfg: the config.
        dataset: the test set's class.
        images: the loader's dataset, queries first.

    Raises:
        ConfigError: see :func:`.draws.draws`.
    """
    evaluator.multi_query = isinstance(dataset, AsksWithSeveral) and dataset.multi_query
    evaluator.draws = draws(cfg, dataset, images.img_items)
    evaluator.junk = junk_of(images)
