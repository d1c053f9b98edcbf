"""Set up evaluators according to the test set and the config."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fastreid_projects.contract import AsksWithSeveral, junk_of
from fastreid_projects.evaluation.draws import draws
from fastreid_projects.evaluation.precision import TRAPEZOID
from fastreid_projects.evaluation.ranking import RankingMeter
from fastreid_projects.evaluation.ties import EXPECTED


def fit_evaluator(evaluator: Any, cfg: Any, dataset: Any, images: Any) -> None:
    """Tell an evaluator how to score its test set.

    Args:
        evaluator: an evaluator of the host; its ``multi_query``, ``draws`` and ``junk`` are set.
        cfg: the config.
        dataset: the class of the test set.
        images: the dataset of the loader, queries first.

    Raises:
        ConfigError: see :func:`.draws.draws`.
    """
    evaluator.multi_query = isinstance(dataset, AsksWithSeveral) and dataset.multi_query
    evaluator.draws = draws(cfg, dataset, images.img_items)
    evaluator.junk = junk_of(images)


def ranking_meter(test: Any) -> Callable[..., RankingMeter]:
    """Return a function (identities, cameras) -> meter that ranks a gallery as ``cfg.TEST`` says."""
    return functools.partial(
        RankingMeter, expected_ties=test.TIES == EXPECTED, trapezoids=test.AP == TRAPEZOID
    )
