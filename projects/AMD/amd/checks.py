"""Check the values of an AMD config before anything is trained; the error for a wrong value is one sentence."""

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
    """Check that every key below ``MODEL.AMD`` has an allowed value, and that AMD can evaluate the metrics and tests.

    Raises:
        ConfigError: a value is not allowed, or a metric or test set works with plain features only; names the key and
            its allowed values.
    """
    _check_single_queries(cfg.DATASETS.TESTS)
    for key in _NOT_MEASURED:
        if get_key(cfg, key):
            raise ConfigError(
                f"{key} is True, but AMD's evaluation does not measure it; set it to False, and measure it with the "
                "target's own config"
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
    """Return ``'a' or 'b'`` of two names, ``'a', 'b' or 'c'`` of three."""
    *first, last = (f"'{name}'" for name in names)
    return f"{', '.join(first)} or {last}"


def _check_single_queries(names: Iterable[str]) -> None:
    """Check that each query of the test sets is a single image, as only pairs of images can be explained."""
    for name in names:
        dataset = DATASET_REGISTRY.get(name)
        if isinstance(dataset, AsksWithSeveral) and dataset.multi_query:
            raise ConfigError(
                f"DATASETS.TESTS holds {name}, whose queries are means of several images, but AMD explains pairs of "
                "images; leave it out, and evaluate the target's own config on it"
            )


def warn_of_another_size(cfg: Any, target: Any) -> None:
    """Warn if the target gets images of another size than it was trained and tested with.

    This is not an error: fully convolutional targets take any size, and the difference may be intended.
    """
    own, trained = (tuple(config.INPUT.SIZE_TEST) for config in (cfg, target))
    if own != trained:
        logger.warning(
            "INPUT.SIZE_TEST is %s, but the target's own config says %s: the explanations show the target on images of "
            "%s; to explain it as it was trained, set INPUT.SIZE_TRAIN and INPUT.SIZE_TEST to the target's",
            *(f"[{a}, {b}]" for a, b in (own, trained, own)),
        )
