"""Ranges of the host's numbers, outside of which the host would silently compute nonsense or fail during the run."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from fastreid_projects.config.values import all_keys, get_key
from fastreid_projects.errors import ConfigError


class Range(NamedTuple):
    """The range of a number.

    Attributes:
        low: the least value.
        high: the greatest value.
        above: whether ``low`` itself is too small.
        below: whether ``high`` itself is too large.
    """

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        """Return whether the value is finite and inside."""
        large = value > self.low if self.above else value >= self.low
        small = value < self.high if self.below else value <= self.high
        return math.isfinite(value) and large and small

    def __str__(self) -> str:
        low = f"{'above' if self.above else 'at least'} {self.low}"
        high = f"{'below' if self.below else 'at most'} {self.high}"
        if math.isinf(self.low):
            return high
        return low if math.isinf(self.high) else f"{low} and {high}"


MAX_SEED = 2**32 - 1  # the largest seed of NumPy's generators
_MOST_PIXELS = 4096  # of a side; a batch of larger images does not fit into memory
_SIDE = Range(0, _MOST_PIXELS)
_LOSS = Range(-1e6, 1e6)  # margins, scales, exponents: larger values overflow float32 in the loss
_SHARE, _POSITIVE, _NOT_NEGATIVE, _COUNT = Range(0, 1), Range(0, above=True), Range(0), Range(1)
RUN = {
    "SEED": Range(-math.inf, MAX_SEED),
    "DATASETS.ID_FRACTION": Range(0, 1, above=True),
    "DATASETS.SPLIT_SEED": _NOT_NEGATIVE,
    "DATASETS.SPLIT_DRAWS": Range(1, 1000),
    "MODEL.BACKBONE.FEAT_DIM": _COUNT,
    "MODEL.BACKBONE.LAST_STRIDE": _COUNT,
    "MODEL.HEADS.EMBEDDING_DIM": _NOT_NEGATIVE,
    "MODEL.HEADS.NUM_CLASSES": _NOT_NEGATIVE,
    "MODEL.HEADS.SCALE": _POSITIVE,
    "MODEL.HEADS.MARGIN": _LOSS,
    "TEST.IMS_PER_BATCH": _COUNT,
    "DATALOADER.NUM_WORKERS": Range(0, 256),  # each is a process; far fewer saturate any disk
    "TEST.RERANK.K1": _COUNT,
    "TEST.RERANK.K2": _COUNT,
    "TEST.RERANK.LAMBDA": _SHARE,
    "TEST.AQE.QE_TIME": _COUNT,
    "TEST.AQE.QE_K": _COUNT,
    "TEST.AQE.ALPHA": _NOT_NEGATIVE,
}
TRAINING = {
    "SOLVER.BASE_LR": _POSITIVE,
    "SOLVER.MOMENTUM": Range(0, 1, below=True),
    "SOLVER.WEIGHT_DECAY": _NOT_NEGATIVE,
    "SOLVER.WEIGHT_DECAY_NORM": _NOT_NEGATIVE,
    "SOLVER.WEIGHT_DECAY_BIAS": _NOT_NEGATIVE,
    "SOLVER.HEADS_LR_FACTOR": _NOT_NEGATIVE,
    "SOLVER.BIAS_LR_FACTOR": _NOT_NEGATIVE,
    "SOLVER.GAMMA": _POSITIVE,
    "SOLVER.WARMUP_FACTOR": _NOT_NEGATIVE,
    "SOLVER.WARMUP_ITERS": _NOT_NEGATIVE,
    "SOLVER.WARMUP_EPOCHS": _NOT_NEGATIVE,
    "SOLVER.DELAY_EPOCHS": _NOT_NEGATIVE,
    "SOLVER.FREEZE_ITERS": _NOT_NEGATIVE,
    "SOLVER.ETA_MIN_LR": _NOT_NEGATIVE,
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": _POSITIVE,
    "SOLVER.MAX_EPOCH": _COUNT,
    "SOLVER.IMS_PER_BATCH": _COUNT,
    "SOLVER.CHECKPOINT_PERIOD": _NOT_NEGATIVE,
    "TEST.EVAL_PERIOD": _NOT_NEGATIVE,
    "TEST.PRECISE_BN.NUM_ITER": _COUNT,
    "DATALOADER.NUM_INSTANCE": _COUNT,
    "INPUT.FLIP.PROB": _SHARE,
    "INPUT.CJ.PROB": _SHARE,
    "INPUT.CJ.BRIGHTNESS": _NOT_NEGATIVE,
    "INPUT.CJ.CONTRAST": _NOT_NEGATIVE,
    "INPUT.CJ.SATURATION": _NOT_NEGATIVE,
    "INPUT.CJ.HUE": Range(0, 0.5),
    "INPUT.AUTOAUG.PROB": _SHARE,
    "INPUT.AUGMIX.PROB": _SHARE,
    "INPUT.REA.PROB": _SHARE,
    "INPUT.RPT.PROB": _SHARE,
    "INPUT.PADDING.SIZE": _NOT_NEGATIVE,
    # A negative value selects adaptive smoothing (losses/cross_entroy_loss.py:32).
    "MODEL.LOSSES.CE.EPSILON": Range(-math.inf, 1, below=True),
}
# Each step of a schedule is an epoch.
_EPOCHS = "SOLVER.STEPS"


def check_run_values(cfg: Any) -> None:
    """Check the numbers that every run needs.

    Raises:
        ConfigError: a number is out of its range, or a list has the wrong length.
    """
    _check_ranges(cfg, RUN)
    _check_size("INPUT.SIZE_TRAIN", cfg.INPUT.SIZE_TRAIN)
    _check_size("INPUT.SIZE_TEST", cfg.INPUT.SIZE_TEST)
    if cfg.INPUT.CROP.ENABLED:
        _check_size("INPUT.CROP.SIZE", cfg.INPUT.CROP.SIZE, Range(1, _MOST_PIXELS))
    for key in ("MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD"):
        _check_list(key, get_key(cfg, key), (3,), _POSITIVE if key.endswith("STD") else Range(-math.inf))


def check_training_values(cfg: Any) -> None:
    """Check the numbers that training needs in addition.

    Raises:
        ConfigError: as in :func:`check_run_values`.
    """
    _check_ranges(cfg, TRAINING)
    losses = [
        key
        for key in all_keys(cfg.MODEL.LOSSES, "MODEL.LOSSES.")
        if isinstance(get_key(cfg, key), (int, float))
    ]
    _check_ranges(cfg, dict.fromkeys(losses, _LOSS))
    _check_ranges(cfg, {key: _NOT_NEGATIVE for key in losses if key.endswith(".SCALE")})
    if not cfg.SOLVER.CLIP_GRADIENTS.NORM_TYPE > 0:  # inf is the maximum norm
        raise ConfigError(
            f"SOLVER.CLIP_GRADIENTS.NORM_TYPE is {cfg.SOLVER.CLIP_GRADIENTS.NORM_TYPE} but has to be above 0, e.g. 2."
        )
    _check_list(_EPOCHS, cfg.SOLVER.STEPS, (), _COUNT)
    _check_list("INPUT.REA.VALUE", cfg.INPUT.REA.VALUE, (1, 3), Range(-math.inf))
    if cfg.SOLVER.NESTEROV and cfg.SOLVER.MOMENTUM == 0:
        raise ConfigError("SOLVER.NESTEROV needs SOLVER.MOMENTUM above 0: change one of them.")
    if cfg.INPUT.PADDING.ENABLED and (len(cfg.INPUT.SIZE_TRAIN) != 2 or 0 in cfg.INPUT.SIZE_TRAIN):
        raise ConfigError(
            f"INPUT.SIZE_TRAIN is {list(cfg.INPUT.SIZE_TRAIN)}, but INPUT.PADDING crops padded images to that size: "
            "write it as [height, width], e.g. [256, 128], or set INPUT.PADDING.ENABLED False."
        )
    if cfg.INPUT.CROP.ENABLED:
        for key in ("INPUT.CROP.SCALE", "INPUT.CROP.RATIO"):
            value = get_key(cfg, key)
            _check_list(key, value, (2,), _POSITIVE)
            if value[0] > value[1]:
                raise ConfigError(f"{key} is {list(value)}, but its first number has to be the smaller one.")


def _check_ranges(cfg: Any, ranges: dict[str, Range]) -> None:
    for key, allowed in ranges.items():
        value = get_key(cfg, key)
        if not allowed.holds(value):
            raise ConfigError(f"{key} is {value} but has to be {_words(allowed)}.")


def _words(allowed: Range) -> str:
    if math.isinf(allowed.low):
        if math.isinf(allowed.high):
            return "finite"
        return f"{'below' if allowed.below else 'at most'} {allowed.high}"
    return str(allowed)


def _check_size(key: str, size: Sequence[Any], allowed: Range = _SIDE) -> None:
    """Check [height, width]; a single number is the shorter side, 0 means no resizing (transforms/build.py:66, 128)."""
    mixed = len(size) == 2 and 0 in size and any(size)
    if len(size) not in (1, 2) or mixed or not all(isinstance(n, int) and allowed.holds(n) for n in size):
        raise ConfigError(
            f"{key} is {list(size)} but has to be [height, width] in pixels, e.g. [256, 128], and each side at most "
            f"{_MOST_PIXELS}."
        )


def _check_list(key: str, values: Sequence[Any], lengths: Collection[int], allowed: Range) -> None:
    """Check the length of a list (any length if none is given) and its numbers."""
    if lengths and len(values) not in lengths:
        raise ConfigError(
            f"{key} is {list(values)} but has to hold {' or '.join(map(str, lengths))} numbers."
        )
    for value in values:
        if not allowed.holds(value):
            raise ConfigError(f"{key} holds {value} but each of its numbers has to be {_words(allowed)}.")
