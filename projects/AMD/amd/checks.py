"""What a config of AMD may say: one sentence for a value that cannot work, before anything is trained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastreid.data.datasets import DATASET_REGISTRY

from fastreid_projects.config import get_key
from fastreid_projects.contract import AsksWithSeveral
from fastreid_projects.errors import ConfigError
from fastreid_projects.modeling.backbone_stages import NUM_STAGES

from .heads import FORMS

logger = logging.getLogger("fastreid.projects.amd")

_Rule = tuple[Callable[[float], bool], str]
_COUNT: _Rule = (lambda x: x >= 0, "0 or more")
_POSITIVE: _Rule = (lambda x: x >= 1, "at least 1")
_UNIT: _Rule = (lambda x: 0 < x <= 1, "above 0 and at most 1")
_WEIGHT: _Rule = (lambda x: 0 <= x < float("inf"), "a finite number of 0 or more")

_RULES: dict[str, _Rule] = {
    "SHARED_STAGES": (lambda x: 1 <= x <= NUM_STAGES, f"1 to {NUM_STAGES}"),
    "REDUCTION": _POSITIVE,
    "KAPPA": (lambda x: 0 <= x <= 1, "0 (for 1/M) to 1"),
    "TAU": _UNIT,
    "INIT_BIAS": (lambda x: abs(x) < float("inf"), "a finite number"),
    "NU": _UNIT,
    "ALPHA": _WEIGHT,
    "BETA": _WEIGHT,
    "TEST.CHUNK": _POSITIVE,
    "TEST.GAMMA": _WEIGHT,
    "TEST.DELETION_PAIRS": _COUNT,
    "TEST.COUNTERFACTUALS": _COUNT,
    "REPORT.PAIRS": _COUNT,
    "REPORT.TOP_K": _POSITIVE,
}

_CHOICES: dict[str, tuple[str, ...]] = {"NECK_FEAT": ("after", "before"), "ATTENTION": tuple(FORMS)}

_NOT_MEASURED = ("TEST.ROC.ENABLED", "TEST.FIDELITY.ENABLED", "TEST.FIDELITY.TRAIN")


def check_keys(cfg: Any) -> None:
    """See that every key below ``MODEL.AMD`` has a value that can work, and that no metric is asked for in vain.

    Raises:
        ConfigError: one has not, or a metric or a test set is of plain features; names the key and what it may be.
    """
    _check_single_queries(cfg.DATASETS.TESTS)
    for key in _NOT_MEASURED:
        if get_key(cfg, key):
            raise ConfigError(
                f"{key} is True, but AMD's evaluation does not measure it; set it to False, and evaluate the target's "
                "own config with it"
            )
    for key, (allowed, words) in _RULES.items():
        value = get_key(cfg.MODEL.AMD, key)
        if not allowed(value):
            raise ConfigError(f"MODEL.AMD.{key} is {value}; it has to be {words}")
    for key, names in _CHOICES.items():
        value = get_key(cfg.MODEL.AMD, key)
        if value not in names:
            raise ConfigError(f"MODEL.AMD.{key} is '{value}'; it has to be {_either(names)}")


def _either(names: Sequence[str]) -> str:
    """'a' or 'b'; 'a', 'b' or 'c'."""
    *first, last = (f"'{name}'" for name in names)
    return f"{', '.join(first)} or {last}"


def _check_single_queries(names: Iterable[str]) -> None:
    """See that each query of the test sets is one image, whose pairs can be explained."""
    for name in names:
        dataset = DATASET_REGISTRY.get(name)
        if isinstance(dataset, AsksWithSeveral) and dataset.multi_query:
            raise ConfigError(
                f"DATASETS.TESTS holds {name}, whose queries are means of several images, but AMD explains pairs of "
                "images; leave it out, and evaluate the target's own config on it"
            )


def warn_of_another_size(cfg: Any, target: Any) -> None:
    """Say so where the target would be fed with images of another size than those it was trained and tested with.

    It is not an error: fully convolutional targets take any size, and both configs may be meant as they are.
    """
    own, trained = (tuple(config.INPUT.SIZE_TEST) for config in (cfg, target))
    if own != trained:
        logger.warning(
            "INPUT.SIZE_TEST is %s, but the target's own config says %s: what is explained is the target on images of "
            "%s; give INPUT.SIZE_TRAIN and INPUT.SIZE_TEST of the target to explain it as it was trained",
            *(f"[{a}, {b}]" for a, b in (own, trained, own)),
        )
