"""Config keys of FIDI: its loss, the loss that it is compared with (BCL), and the architecture BDB."""

from __future__ import annotations

from fastreid.config import CfgNode as CN


def add_fidi_config(cfg: CN) -> None:
    """Add FIDI's keys."""
    node = cfg.MODEL.LOSSES.FIDI = CN()
    # Weight of FIDILoss in the total loss; it replaces the triplet loss with weight 1 (sec. IV-A).
    node.SCALE = 1.0
    # alpha of Eq. 5, above 1: a far pair of one identity costs at most log(alpha / (alpha - 1)); 1.05 (sec. V-G).
    node.ALPHA = 1.05
    # beta of Eq. 6, above 0: u = exp(-beta d); 0.5 (sec. V-G).
    node.BETA = 0.5
    # "mean" over the pairs of the batch, "sum" (Eq. 5 literally), or "balanced": the mean over the pairs of one
    # identity plus the mean over the others.
    node.REDUCTION = "mean"
    # Whether to use the pairs of all processes.
    node.GATHER = False

    node = cfg.MODEL.LOSSES.BCL = CN()
    # Weight of BatchHardContrastiveLoss in the total loss.
    node.SCALE = 1.0
    # m of Eq. 1: negatives farther than this cost nothing. The paper gives no value for BCL.
    node.MARGIN = 0.3
    # Whether to use half the squares of both terms (Hadsell et al. 2006).
    node.SQUARED = False
    # Whether to mine over the features of all processes.
    node.GATHER = False

    node = cfg.MODEL.FIDI = CN()
    # The architecture BDB (Batch DropBlock, Dai et al. 2019).
    node.BDB = CN()
    # Sizes of the features: global branch (1x1 convolution) and feature dropping branch (linear layer).
    node.BDB.GLOBAL_DIM = 512
    node.BDB.DROP_DIM = 1024
    # The dropped block's share of the map's height (0.33 in their code) and width.
    node.BDB.HEIGHT_RATIO = 1 / 3
    node.BDB.WIDTH_RATIO = 1.0
