"""Config keys of the losses that do not belong to a single paper."""

from __future__ import annotations

from fastreid.config import CfgNode as CN


def add_loss_config(cfg: CN) -> None:
    """Add ``MODEL.LOSSES.BATCH_HARD``."""
    node = cfg.MODEL.LOSSES.BATCH_HARD = CN()
    # Weight of BatchHardTripletLoss in the total loss.
    node.SCALE = 1.0
    # Margin of the hinge: 0.3 in BoT, 0.2 with the cosine distance; not used with SOFT_MARGIN.
    node.MARGIN = 0.3
    # "euclidean" (of unnormalised features) or "cosine" (1 - cosine similarity).
    node.METRIC = "euclidean"
    # log(1 + exp(.)) instead of the hinge (Hermans et al. 2017).
    node.SOFT_MARGIN = False
    # "mean" over the anchors that have a positive and a negative, "sum", or "violating": the mean over the triplets
    # whose loss is not zero.
    node.REDUCTION = "mean"
    # Whether to mine over the features of all processes.
    node.GATHER = False
