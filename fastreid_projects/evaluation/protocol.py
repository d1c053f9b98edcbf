"""What a test set and the config ask of an evaluator."""

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


def ranking_meter(test: Any) -> Callable[..., RankingMeter]:
    """Return what ranks a gallery, (identities, cameras) -> meter, as ``cfg.TEST`` asks for it."""
    return functools.partial(
        RankingMeter, expected_ties=test.TIES == EXPECTED, trapezoids=test.AP == TRAPEZOID
    )
