"""Config keys and values of FastReID before 1.0, and their present names."""

from __future__ import annotations

from typing import Any

# Key -> what to write instead.
OLD_KEYS = {
    "DATALOADER.NAIVE_WAY": "DATALOADER.SAMPLER_TRAIN with the value NaiveIdentitySampler",
    "DATALOADER.PK_SAMPLER": "DATALOADER.SAMPLER_TRAIN with the value NaiveIdentitySampler",
    "INPUT.DO_AFFINE": "INPUT.AFFINE.ENABLED",
    "INPUT.DO_AUGMIX": "INPUT.AUGMIX.ENABLED",
    "INPUT.DO_AUTOAUG": "INPUT.AUTOAUG.ENABLED",
    "INPUT.DO_CJ": "INPUT.CJ.ENABLED",
    "INPUT.DO_FLIP": "INPUT.FLIP.ENABLED",
    "INPUT.DO_PAD": "INPUT.PADDING.ENABLED",
    "INPUT.FLIP_PROB": "INPUT.FLIP.PROB",
    "INPUT.PADDING_MODE": "INPUT.PADDING.MODE",
    "INPUT.PADDING_SIZE": "INPUT.PADDING.SIZE",
    "INPUT.RE.ENABLED": "INPUT.REA.ENABLED",
    "INPUT.RE.PROB": "INPUT.REA.PROB",
    "INPUT.REA.MEAN": "INPUT.REA.VALUE",
    "KD.MODEL_CONFIG_FILE": "KD.MODEL_CONFIG",
    "MODEL.DEVICE_ID": "MODEL.DEVICE with the value cuda:<number>",
    "MODEL.HEADS.CLASSIFIER": "MODEL.HEADS.CLS_LAYER",
    "MODEL.HEADS.IN_FEAT": "MODEL.BACKBONE.FEAT_DIM",
    "MODEL.HEADS.REDUCTION_DIM": "MODEL.HEADS.EMBEDDING_DIM",
    "MODEL.LOSSES.CIRCLE.ALPHA": "MODEL.LOSSES.CIRCLE.GAMMA",
    "MODEL.OPEN_LAYERS": "MODEL.FREEZE_LAYERS (the other way round: the layers that are frozen)",
    "SOLVER.AMP_ENABLED": "SOLVER.AMP.ENABLED",
    "SOLVER.DELAY_ITERS": "SOLVER.DELAY_EPOCHS (in epochs)",
    "SOLVER.FP16_ENABLED": "SOLVER.AMP.ENABLED",
    "SOLVER.MAX_ITER": "SOLVER.MAX_EPOCH (in epochs)",
    "SOLVER.WARMUP_EPOCHS": "SOLVER.WARMUP_ITERS (in iterations)",
    "TEST.AQE_ENABLED": "TEST.AQE.ENABLED",
    "TEST.FLIP_ENABLED": "TEST.FLIP.ENABLED",
    "TEST.RERANK_ENABLED": "TEST.RERANK.ENABLED",
}
_NO_SUCCESSOR = "has no successor: leave it out"
# Key -> what to do about a key that was removed without a replacement.
_GONE = {
    **dict.fromkeys(("MODEL.BACKBONE.NORM_SPLIT", "MODEL.HEADS.NORM_SPLIT"), _NO_SUCCESSOR),
    **dict.fromkeys(("MODEL.BACKBONE.SPLIT_BN", "INPUT.AUTOAUG.TOTAL_ITER"), _NO_SUCCESSOR),
    **dict.fromkeys(("SOLVER.LOG_PERIOD", "SOLVER.SWA.ENABLED", "SOLVER.SWA.ITER"), _NO_SUCCESSOR),
    "INPUT.CUTOUT.ENABLED": "is done by INPUT.REA.ENABLED (random erasing) today",
}
# Present names of old values, by key.
OLD_VALUES: dict[str, dict[str, str]] = {
    "MODEL.HEADS.POOL_LAYER": {
        "avgpool": "GlobalAvgPool",
        "maxpool": "GlobalMaxPool",
        "gempool": "GeneralizedMeanPooling",
        "gempoolP": "GeneralizedMeanPoolingP",
        "avgmaxpool": "AdaptiveAvgMaxPool",
        "fastavgpool": "FastGlobalAvgPool",
        "clipavgpool": "ClipGlobalAvgPool",
        "identity": "Identity",
        "flatten": "Flatten",
    },
    "MODEL.HEADS.CLS_LAYER": {
        "linear": "Linear",
        "arcSoftmax": "ArcSoftmax",
        "arcface": "ArcSoftmax",
        "circleSoftmax": "CircleSoftmax",
        "circle": "CircleSoftmax",
        "amSoftmax": "CosSoftmax",
        "cosSoftmax": "CosSoftmax",
    },
    "MODEL.HEADS.NAME": {
        "BNneckHead": "EmbeddingHead with MODEL.HEADS.WITH_BNNECK True",
        "LinearHead": "EmbeddingHead",
        "ReductionHead": "EmbeddingHead with MODEL.HEADS.EMBEDDING_DIM",
        "StandardHead": "EmbeddingHead",
    },
    "SOLVER.SCHED": {
        "WarmupMultiStepLR": "MultiStepLR with SOLVER.WARMUP_ITERS",
        "WarmupCosineAnnealingLR": "CosineAnnealingLR with SOLVER.WARMUP_ITERS",
        "WarmupCosineLR": "CosineAnnealingLR with SOLVER.WARMUP_ITERS",
        "DelayedCosineAnnealingLR": "CosineAnnealingLR with SOLVER.DELAY_EPOCHS",
    },
    "DATALOADER.SAMPLER_TRAIN": {
        "RandomIdentitySampler": "BalancedIdentitySampler",
    },
}


def about_old_key(key: str) -> str:
    """Return what has become of a key of FastReID before 1.0; "" if there was no such key.

    Example:
        >>> about_old_key("INPUT.DO_FLIP")
        'is called INPUT.FLIP.ENABLED today'
    """
    if key in OLD_KEYS:
        return f"is called {OLD_KEYS[key]} today"
    return _GONE.get(key, "")


def about_old_value(key: str, value: Any) -> str:
    """Return the present name of a value of FastReID before 1.0; "" if there was no such value."""
    return OLD_VALUES.get(key, {}).get(str(value), "")
