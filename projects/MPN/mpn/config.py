"""Config keys of MPN, all below ``MODEL.MPN``."""

from __future__ import annotations

from fastreid.config import CfgNode as CN


def add_mpn_config(cfg: CN) -> None:
    """Add ``MODEL.MPN`` to the config; the defaults are the paper's values (Sec. 3, 5.1)."""
    node = cfg.MODEL.MPN = CN()
    # K body parts (Fig. 7), and the width of both 1x1 convolutions of a part.
    node.PARTS = 6
    node.WIDTH = 512
    # Tasks: "both"; "main" (table 1, MT Only); "auxiliary" (table 1, Baseline: stripes in training and test, like PCB).
    node.TASKS = "both"
    # Parameter space alignment (Sec. 3.3; C1-S and C2-S of table 1): "hard" (one layer for both tasks), "soft" (two
    # layers that are pulled together, Fig. 10) or "none". The channel attention is shared in the same way as conv2.
    node.SHARE_CONV1 = "hard"
    node.SHARE_CONV2 = "hard"
    # Weight of the L2 loss of soft sharing (Fig. 10: 0.01, 0.1, 1, 10).
    node.SOFT_WEIGHT = 1.0
    # Feature space alignment (Sec. 3.5, tables 3, 4): "class" (Eq. 8), "batch", "sample" (Eq. 9), "sample_triplet"
    # (the pair losses on h + g) or "none"; and its weight lambda (Eq. 10).
    node.ALIGN = "class"
    node.LAMBDA = 1.0
    # Channel attention (CA, Fig. 6) and its reduction, which is that of squeeze-and-excitation.
    node.ATTENTION = True
    node.REDUCTION = 16
    # Spatial relation-aware attention (RGA-S) after each stage of the backbone: MPN* (Sec. 5.4.1).
    node.RGA = False

    # Coarse prior of the auxiliary tasks (Sec. 3.2, table 2).
    node.PRIOR = CN()
    # "mask" (as in the paper: masked, cut and resized), "roi" (cut and resized), or "uniform" (evenly divided).
    node.PRIOR.TYPE = "mask"
    # Folder of the masks: a name beside the image folders, or a path. fastreid-projects make-part-priors creates it.
    node.PRIOR.FOLDER = "part_masks"
    # What to do about a missing, empty or wrong-sized mask: divide evenly and count it in a warning, or (True) raise an
    # error. If no image has a usable mask, it is always an error.
    node.PRIOR.STRICT = False

    # The YAML file of the IDE from which MPN starts (Sec. 5.1); the STAGES of _blocks/mpn.yml train it first.
    node.IDE = ""

    # Offline translation (Sec. 5.1): "none"; "offline" (each image FOLD times, each copy with a fixed shift); "online"
    # (a new shift each time). LIMIT is the longest shift as a share of height and width.
    node.TRANSLATION = CN()
    node.TRANSLATION.MODE = "none"
    node.TRANSLATION.FOLD = 5
    node.TRANSLATION.LIMIT = 0.05
